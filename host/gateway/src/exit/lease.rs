//! Leases: the right to acknowledge messages, and its expiry.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::Rng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use weir_pubsub::{Backend, Receipt, Settled, Unsettled};

use super::lease_window::{LeaseWindow, Refused};
use crate::error::{GatewayError, Result};

/// The id of a lease: 128 random bits, so that it cannot be guessed. On the wire: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(u128);

impl LeaseId {
    fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        LeaseId(u128::from_be_bytes(bytes))
    }

    /// Parses the id as written on the wire.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_hexadecimal).map(LeaseId)
    }
}

impl std::fmt::Display for LeaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The active leases of a gateway, one for each connection that takes from an exit.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<LeaseId, Arc<Lease>>>);

impl Leases {
    /// Registers a lease, which ends when the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, lease: Lease) -> Registered {
        let lease = Arc::new(lease);
        self.all().insert(lease.id, lease.clone());
        Registered { leases: self.clone(), lease }
    }

    /// Finds an active lease.
    pub(crate) fn find(&self, id: LeaseId) -> Option<Arc<Lease>> {
        self.all().get(&id).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<LeaseId, Arc<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease that can be found until this is dropped.
pub(crate) struct Registered {
    leases: Arc<Leases>,
    lease: Arc<Lease>,
}

impl Registered {
    /// The lease itself, to wait for it independently of this.
    pub(super) fn shared(&self) -> Arc<Lease> {
        self.lease.clone()
    }
}

impl Deref for Registered {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.lease.close();
        self.leases.all().remove(&self.lease.id);
        self.lease.gone.cancel();
    }
}

/// The right to acknowledge the messages delivered to one connection.
pub(crate) struct Lease {
    id: LeaseId,
    flow: String,
    interface: String,
    backend: Arc<dyn Backend>,
    held: Mutex<LeaseWindow>,
    /// Settles whose outcome is pending.
    settling_count: AtomicUsize,
    /// Notified when a message is acknowledged, or delivered while none was held.
    changed: Notify,
    /// Cancelled when the client ends it.
    released: CancellationToken,
    /// Cancelled once everything unacknowledged is requeued.
    gone: CancellationToken,
}

impl Lease {
    /// A lease on the exit of an interface, over at most `count` messages.
    pub(crate) fn new(backend: Arc<dyn Backend>, flow: &str, interface: &str, count: Option<u64>, lease_time: Duration) -> Self {
        Lease {
            id: LeaseId::random(&mut rand::rng()),
            flow: flow.to_owned(),
            interface: interface.to_owned(),
            backend,
            held: Mutex::new(LeaseWindow::new(count, lease_time)),
            settling_count: AtomicUsize::new(0),
            changed: Notify::new(),
            released: CancellationToken::new(),
            gone: CancellationToken::new(),
        }
    }

    pub(super) fn id(&self) -> LeaseId {
        self.id
    }

    /// Whether it belongs to this exit.
    pub(crate) fn is_of(&self, flow: &str, interface: &str) -> bool {
        self.flow == flow && self.interface == interface
    }

    /// Settles all messages up to a receipt, and renews or ends the lease. Returns how many were settled.
    ///
    /// # Errors
    /// `LeaseEnded`, `BadField` for a receipt that was never delivered. If a settle fails, the lease ends and what was not settled is redelivered.
    pub(crate) async fn acknowledge(&self, through: u64, then: Then) -> Result<u64> {
        let in_flight = self.begin_settling(through, then)?;
        // `begin_settling` counted them: they count until their outcome is known or the requester is gone.
        let _counted = SettlingGuard { total: &self.settling_count, count: in_flight.len() };
        let mut settled_count = 0;
        for settling in in_flight {
            match settling.await {
                Ok(Settled::Done { .. }) => settled_count += 1,
                Ok(Settled::NoLongerHeld) => {}
                Err(unsettled) => {
                    self.release();
                    return Err(GatewayError::broker("messages could not be acknowledged and will be redelivered")(unsettled.error));
                }
            }
        }
        Ok(settled_count)
    }

    /// Submits the settles under the lock, so that they precede the drop of the consumer.
    fn begin_settling(&self, through: u64, then: Then) -> Result<Vec<BoxFuture<'static, Result<Settled, Unsettled>>>> {
        let mut held = self.held();
        let receipts = held.acknowledge(through, Instant::now()).map_err(|refused| match refused {
            Refused::Ended => self.ended(),
            Refused::NeverHandedOut { last } => GatewayError::BadField {
                field: "through".to_owned(),
                problem: match last {
                    0 => format!("receipt {through} does not exist: no message was delivered under this lease yet"),
                    last => format!("receipt {through} does not exist: the last one is {last}"),
                },
            },
        })?;
        // Under the lock, so that no count misses them.
        self.settling_count.fetch_add(receipts.len(), Ordering::AcqRel);
        let in_flight = self.backend.acknowledge(&receipts);
        if then == Then::End {
            // The acknowledged messages are not replaced by new ones.
            held.end();
            self.release();
        }
        drop(held);
        self.changed.notify_waiters();
        Ok(in_flight)
    }

    /// Ends the lease; unacknowledged messages are requeued.
    fn release(&self) {
        self.released.cancel();
    }

    /// Waits until the lease has ended and its unacknowledged messages were requeued.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// From here on nothing can be acknowledged.
    pub(super) fn close(&self) {
        self.held().end();
    }

    /// Why nothing can be acknowledged.
    pub(crate) fn ended(&self) -> GatewayError {
        GatewayError::LeaseEnded { lease: self.id.to_string() }
    }

    /// Messages that are held by this lease, including those whose settle is pending.
    pub(super) fn held_count(&self) -> usize {
        let held = self.held();
        held.count() + self.settling_count.load(Ordering::Acquire)
    }

    /// Whether the count allows one more message.
    pub(super) fn may_take(&self) -> bool {
        self.held().may_take()
    }

    /// How many messages the consumer may hold, if that is not constant.
    pub(super) fn window(&self) -> Option<NonZeroU32> {
        let window = self.held().window()?;
        NonZeroU32::new(window as u32)
    }

    /// The receipt that the next message gets.
    pub(super) fn next_number(&self) -> u64 {
        self.held().next_number()
    }

    /// Delivers a message, unless its window is full.
    pub(super) fn hand_out(&self, receipt: Receipt, size_bytes: usize) -> HandedOut {
        let mut held = self.held();
        if held.has_ended() || !held.has_room(size_bytes) {
            return HandedOut::NotYet;
        }
        let was_empty = held.is_empty();
        held.hand_out(receipt, size_bytes, Instant::now());
        drop(held);
        if was_empty {
            // The lease time starts now.
            self.changed.notify_waiters();
        }
        HandedOut::Done
    }

    /// Waits until there is room for a message of this size.
    pub(super) async fn room(&self, size_bytes: usize) {
        self.becomes(|held| held.has_room(size_bytes)).await;
    }

    /// Waits until everything delivered is acknowledged.
    pub(super) async fn emptied(&self) {
        self.becomes(LeaseWindow::is_empty).await;
    }

    async fn becomes(&self, wanted: impl Fn(&LeaseWindow) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // A change between the check and the wait is noticed.
            changed.as_mut().enable();
            if wanted(&self.held()) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the lease has expired or was ended by the client.
    pub(super) async fn over(&self) -> LeaseEnd {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let deadline = {
                let mut held = self.held();
                if self.released.is_cancelled() {
                    return LeaseEnd::Released;
                }
                if held.expire(Instant::now()) {
                    return LeaseEnd::RanOut;
                }
                held.deadline()
            };
            tokio::select! {
                biased;
                () = self.released.cancelled() => return LeaseEnd::Released,
                // It may have been renewed: the next iteration checks.
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
                () = changed, if deadline.is_none() => {}
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, LeaseWindow> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next step after an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Deliver further messages.
    GoOn,
    /// End the lease.
    End,
}

/// Whether a message was delivered.
#[derive(PartialEq, Eq)]
pub(super) enum HandedOut {
    /// It was.
    Done,
    /// Others must be acknowledged first, or the lease has ended.
    NotYet,
}

/// How a lease ends before its stream does.
pub(super) enum LeaseEnd {
    /// Nothing was acknowledged within the lease time.
    RanOut,
    /// The client ended it, or a settle failed.
    Released,
}

/// A count that is decreased when this is dropped.
struct SettlingGuard<'a> {
    total: &'a AtomicUsize,
    count: usize,
}

impl Drop for SettlingGuard<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.count, Ordering::AcqRel);
    }
}
