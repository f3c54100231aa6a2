//! Places in the pool of instances, shared by all workers of a host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Messages of a flow, or being set up.
    Flow,
    /// Answering requests: a part of the places is kept for it, so that those who ask cannot starve those who answer.
    Request,
}

/// The places. Who waits longest is served first; cloning is cheap.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Inner>);

struct Inner {
    open: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    waiting_count: AtomicUsize,
    shortage: Notify,
}

/// A place; given back when it is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Slots {
    /// A quarter of the places is kept for requests.
    pub(crate) fn new(count: u32) -> Self {
        let kept_count = if count < 2 { 0 } else { (count / 4).max(1) };
        let places = |count: u32| Arc::new(Semaphore::new(count as usize));
        let (open, kept) = (places(count - kept_count), places(kept_count));
        Slots(Arc::new(Inner { open, kept, waiting_count: AtomicUsize::new(0), shortage: Notify::new() }))
    }

    /// A place, if one is free.
    pub(crate) fn try_take(&self, purpose: Purpose) -> Option<Slot> {
        let open = self.0.open.clone().try_acquire_owned().ok();
        match purpose {
            Purpose::Flow => open,
            Purpose::Request => open.or_else(|| self.0.kept.clone().try_acquire_owned().ok()),
        }
    }

    /// Waits for a place.
    ///
    /// # Cancel safety
    /// Who is dropped loses only its turn.
    pub(crate) async fn take(&self, purpose: Purpose) -> Slot {
        if let Some(slot) = self.try_take(purpose) {
            return slot;
        }
        let _waiting = Waiting::begin(&self.0);
        let open = self.0.open.clone().acquire_owned();
        let taken = match purpose {
            Purpose::Flow => open.await,
            Purpose::Request => tokio::select! {
                taken = open => taken,
                taken = self.0.kept.clone().acquire_owned() => taken,
            },
        };
        taken.expect("the semaphores are never closed")
    }

    /// Whether somebody waits for a place.
    pub(crate) fn is_short(&self) -> bool {
        self.0.waiting_count.load(Ordering::SeqCst) > 0
    }

    /// Waits until somebody waits for a place.
    pub(crate) async fn run_short(&self) {
        loop {
            let shortage = self.0.shortage.notified();
            tokio::pin!(shortage);
            shortage.as_mut().enable();
            if self.is_short() {
                return;
            }
            shortage.await;
        }
    }

    /// How many places are free.
    pub(crate) fn free_count(&self) -> usize {
        self.0.open.available_permits() + self.0.kept.available_permits()
    }
}

/// Somebody who waits for a place.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.waiting_count.fetch_add(1, Ordering::SeqCst);
        inner.shortage.notify_waiters();
        Waiting(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting_count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_quarter_is_kept_for_requests() {
        let slots = Slots::new(8);
        let mut taken: Vec<_> = (0..6).map(|_| slots.try_take(Purpose::Flow).unwrap()).collect();
        assert!(slots.try_take(Purpose::Flow).is_none());
        taken.extend((0..2).map(|_| slots.try_take(Purpose::Request).unwrap()));
        assert!(slots.try_take(Purpose::Request).is_none());
        taken.truncate(5);
        assert!(slots.try_take(Purpose::Request).is_some(), "the open ones are for everybody");
        assert!(Slots::new(1).try_take(Purpose::Flow).is_some());
        assert!(Slots::new(2).try_take(Purpose::Flow).is_some());
    }

    #[tokio::test]
    async fn who_holds_places_learns_of_those_who_wait() {
        let slots = Slots::new(1);
        let held = slots.take(Purpose::Flow).await;
        let mut short = Box::pin(slots.run_short());
        assert!(short.as_mut().now_or_never().is_none() && !slots.is_short());
        let mut waiting = Box::pin(slots.take(Purpose::Flow));
        assert!(waiting.as_mut().now_or_never().is_none());
        short.await;
        assert!(slots.is_short());
        drop(held);
        let taken = waiting.await;
        assert!(!slots.is_short() && slots.free_count() == 0);
        drop(taken);
        assert_eq!(slots.free_count(), 1);
    }
}
