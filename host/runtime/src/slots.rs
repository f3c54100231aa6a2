//! Slots of the pool of instances, shared by all workers of a host. An instance takes as many as its component has memories.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The purpose of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Messages of a flow, or being set up.
    Flow,
    /// Answering requests: some slots are reserved for it, so that requesters cannot starve responders.
    Request,
}

/// The slots of the pool, granted in the order of the requests. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Slots(Arc<SlotPool>);

struct SlotPool {
    /// For every purpose.
    shared: Arc<Semaphore>,
    /// For requests only.
    reserved: Arc<Semaphore>,
    shared_count: u32,
    reserved_count: u32,
    /// A quarter of the slots: a `configure` that hangs must not hold the slots of all running flows.
    setups: Arc<Semaphore>,
    waiting_count: AtomicUsize,
    shortage: Notify,
}

/// The slots of one instance; released when it is dropped.
pub(crate) type SlotPermit = OwnedSemaphorePermit;

/// The permit to set up an instance; released when it is dropped.
pub(crate) type SetupPermit = OwnedSemaphorePermit;

impl Slots {
    /// A quarter of the slots is reserved for requests.
    pub(crate) fn new(count: u32) -> Self {
        let reserved_count = if count < 2 { 0 } else { (count / 4).max(1) };
        let shared_count = count - reserved_count;
        let slots = |count: u32| Arc::new(Semaphore::new(count as usize));
        let (shared, reserved, setups) = (slots(shared_count), slots(reserved_count), slots((count / 4).max(1)));
        Slots(Arc::new(SlotPool {
            shared,
            reserved,
            shared_count,
            reserved_count,
            setups,
            waiting_count: AtomicUsize::new(0),
            shortage: Notify::new(),
        }))
    }

    /// The most slots that one instance can have.
    pub(crate) fn max_count_per_instance(&self) -> u32 {
        self.0.shared_count
    }

    /// Acquires this many slots, if they are available.
    pub(crate) fn try_acquire(&self, purpose: Purpose, count: u32) -> Option<SlotPermit> {
        let shared = self.0.shared.clone().try_acquire_many_owned(count).ok();
        match purpose {
            Purpose::Flow => shared,
            Purpose::Request => shared.or_else(|| self.0.reserved.clone().try_acquire_many_owned(count).ok()),
        }
    }

    /// Waits for this many slots, at most [`Slots::max_count_per_instance`].
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn acquire(&self, purpose: Purpose, count: u32) -> SlotPermit {
        if let Some(slot) = self.try_acquire(purpose, count) {
            return slot;
        }
        let _waiting = SlotWaiter::begin(&self.0);
        let shared = self.0.shared.clone().acquire_many_owned(count);
        let acquired = match purpose {
            Purpose::Request if count <= self.0.reserved_count => tokio::select! {
                acquired = shared => acquired,
                acquired = self.0.reserved.clone().acquire_many_owned(count) => acquired,
            },
            _ => shared.await,
        };
        acquired.expect("the semaphores are never closed")
    }

    /// Waits for the permit to set up an instance of a new or changed variant. It is acquired before a slot.
    pub(crate) async fn acquire_setup(&self) -> SetupPermit {
        self.0.setups.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Whether an instance is waiting for a slot.
    pub(crate) fn has_waiters(&self) -> bool {
        self.0.waiting_count.load(Ordering::SeqCst) > 0
    }

    /// Waits until an instance waits for a slot.
    pub(crate) async fn shortage(&self) {
        loop {
            let shortage = self.0.shortage.notified();
            tokio::pin!(shortage);
            shortage.as_mut().enable();
            if self.has_waiters() {
                return;
            }
            shortage.await;
        }
    }

    /// How many slots are available.
    pub(crate) fn available_count(&self) -> usize {
        self.0.shared.available_permits() + self.0.reserved.available_permits()
    }
}

/// A worker or a setup that waits for slots, counted until this is dropped.
struct SlotWaiter<'a>(&'a SlotPool);

impl<'a> SlotWaiter<'a> {
    fn begin(inner: &'a SlotPool) -> Self {
        inner.waiting_count.fetch_add(1, Ordering::SeqCst);
        inner.shortage.notify_waiters();
        SlotWaiter(inner)
    }
}

impl Drop for SlotWaiter<'_> {
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
    fn a_quarter_of_the_slots_is_reserved_for_requests() {
        let slots = Slots::new(8);
        let mut taken: Vec<_> = (0..6).map(|_| slots.try_acquire(Purpose::Flow, 1).unwrap()).collect();
        assert!(slots.try_acquire(Purpose::Flow, 1).is_none());
        taken.extend((0..2).map(|_| slots.try_acquire(Purpose::Request, 1).unwrap()));
        assert!(slots.try_acquire(Purpose::Request, 1).is_none());
        taken.truncate(5);
        assert!(slots.try_acquire(Purpose::Request, 1).is_some(), "the shared ones are for all purposes");
        assert!(Slots::new(1).try_acquire(Purpose::Flow, 1).is_some());
        assert!(Slots::new(2).try_acquire(Purpose::Flow, 1).is_some());
    }

    #[tokio::test]
    async fn holders_of_slots_are_notified_of_waiters() {
        let slots = Slots::new(1);
        let held = slots.acquire(Purpose::Flow, 1).await;
        let mut short = Box::pin(slots.shortage());
        assert!(short.as_mut().now_or_never().is_none() && !slots.has_waiters());
        let mut waiting = Box::pin(slots.acquire(Purpose::Flow, 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        short.await;
        assert!(slots.has_waiters());
        drop(held);
        let taken = waiting.await;
        assert!(!slots.has_waiters() && slots.available_count() == 0);
        drop(taken);
        assert_eq!(slots.available_count(), 1);
    }

    #[tokio::test]
    async fn an_instance_with_several_memories_waits_for_as_many_slots_without_being_overtaken() {
        let slots = Slots::new(8);
        let held = slots.acquire(Purpose::Flow, 3).await;
        let mut large = Box::pin(slots.acquire(Purpose::Flow, 4));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(slots.try_acquire(Purpose::Flow, 1).is_none(), "three are free, for the one that waits");
        assert!(slots.try_acquire(Purpose::Request, 3).is_none() && slots.try_acquire(Purpose::Request, 2).is_some());
        drop(held);
        assert_eq!(large.await.num_permits(), 4);
    }

    #[tokio::test]
    async fn at_most_a_quarter_of_the_slots_is_in_setup_at_a_time() {
        let slots = Slots::new(8);
        let _setups = (slots.acquire_setup().await, slots.acquire_setup().await);
        assert!(Box::pin(slots.acquire_setup()).now_or_never().is_none());
        assert!(!slots.has_waiters(), "idle instances would not help");
    }
}
