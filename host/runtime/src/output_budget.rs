//! The messages that components have sent and that are delivered when their input is settled: limited in bytes, for all processors of a
//! host together (`host.outputs`).
//!
//! A host has one budget, and each input an account. A send is charged to the account at once; the charge goes with the outputs to the settler and
//! ends when they are settled, or when the attempt fails. Admission limits what may be charged next:
//! - An input begins its next message only while it holds less than is available. So a blocked one holds at most half of the budget, a second one half of
//!   the rest, and so on: the others continue. An input that holds nothing always begins.
//! - The first 128 KiB of a message never wait. A later send waits until its input holds less than is available.
//! - To guarantee progress, one message at a time has the permit to bypass the budget, unless an earlier message of its input that bypassed it is not
//!   settled yet. A slow message does not block the others: after a second the next one may have the permit.
//! - A message of a flow that waits releases its instance when its processor stops, or when others wait for an instance; it is handled from
//!   the beginning once there is room. The wait does not count against its time-out.
//! - A quarter of the budget is reserved for requests: they never wait for messages of flows, for which requesters may be waiting themselves. Their
//!   time-out continues while they wait.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weir_pubsub::Message;

use crate::slots::{Purpose, Slots};
use crate::status::{VariantStatus, count};

/// What a message may send without ever waiting, in bytes.
const ALLOWANCE_BYTES: u64 = 128 << 10;
/// How long one message keeps the permit to bypass from others, and how long a waiting one keeps its instance from others.
const BYPASS_TIMEOUT: Duration = Duration::from_secs(1);

/// The budget of a host for unsettled outputs. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct OutputBudget {
    flows: Arc<BudgetPool>,
    requests: Arc<BudgetPool>,
}

impl OutputBudget {
    /// A budget of this many bytes.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let reserved_bytes = budget_bytes / 4;
        OutputBudget {
            flows: Arc::new(BudgetPool::new(budget_bytes - reserved_bytes)),
            requests: Arc::new(BudgetPool::new(reserved_bytes)),
        }
    }

    /// An account for the workers of one input. When `stop` is cancelled, waiting messages yield.
    pub(crate) fn account(&self, purpose: Purpose, slots: Slots, stop: CancellationToken, status: Arc<VariantStatus>) -> Arc<Account> {
        let pool = match purpose {
            Purpose::Flow => self.flows.clone(),
            Purpose::Request => self.requests.clone(),
        };
        Arc::new(Account { pool, purpose, used_bytes: AtomicU64::new(0), has_bypassed: AtomicBool::new(false), slots, stop, status })
    }
}

/// The part of the budget that inputs of one purpose share.
struct BudgetPool {
    budget_bytes: u64,
    used_bytes: AtomicU64,
    waiting_count: AtomicUsize,
    /// Notified when budget is released while a worker waits.
    released: Notify,
    bypass_permit: Mutex<BypassPermit>,
}

/// The permit to bypass the exhausted budget: one message at a time has it.
#[derive(Default)]
struct BypassPermit {
    /// The number of the last grant.
    number: u64,
    /// When it was granted, unless that attempt has ended.
    granted_at: Option<Instant>,
}

impl BudgetPool {
    fn new(budget_bytes: u64) -> Self {
        let (used_bytes, waiting_count) = (AtomicU64::new(0), AtomicUsize::new(0));
        BudgetPool { budget_bytes, used_bytes, waiting_count, released: Notify::new(), bypass_permit: Mutex::default() }
    }

    fn available_bytes(&self) -> u64 {
        self.budget_bytes.saturating_sub(self.used_bytes.load(Ordering::SeqCst))
    }

    fn bypass_permit(&self) -> MutexGuard<'_, BypassPermit> {
        self.bypass_permit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiters(&self) {
        if self.waiting_count.load(Ordering::SeqCst) > 0 {
            self.released.notify_waiters();
        }
    }
}

/// The account of one input: what its outputs hold of the budget.
pub(crate) struct Account {
    pool: Arc<BudgetPool>,
    purpose: Purpose,
    used_bytes: AtomicU64,
    /// Whether a message of this input that bypassed the budget is not settled yet.
    has_bypassed: AtomicBool,
    slots: Slots,
    stop: CancellationToken,
    status: Arc<VariantStatus>,
}

impl Account {
    /// Whether the time-out of a message continues while it waits for budget.
    pub(crate) fn times_out_while_waiting(&self) -> bool {
        self.purpose == Purpose::Request
    }

    /// Waits until the next message of the input may begin.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn admit_next(&self) {
        if self.has_budget() {
            return;
        }
        let _waiting = BudgetWaiter::begin(self);
        loop {
            let mut released = pin!(self.pool.released.notified());
            released.as_mut().enable();
            if self.has_budget() {
                return;
            }
            released.await;
        }
    }

    /// Whether the input holds less than is available, or nothing.
    fn has_budget(&self) -> bool {
        let used_bytes = self.used_bytes.load(Ordering::SeqCst);
        used_bytes == 0 || used_bytes < self.pool.available_bytes()
    }
}

/// A waiting worker, counted until this is dropped.
struct BudgetWaiter<'a>(&'a Account);

impl<'a> BudgetWaiter<'a> {
    fn begin(account: &'a Account) -> Self {
        account.pool.waiting_count.fetch_add(1, Ordering::SeqCst);
        count(&account.status.counters.waiting_for_outputs);
        BudgetWaiter(account)
    }
}

impl Drop for BudgetWaiter<'_> {
    fn drop(&mut self) {
        self.0.pool.waiting_count.fetch_sub(1, Ordering::SeqCst);
        self.0.status.counters.waiting_for_outputs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A waiting message released its instance to others, or its processor stops.
#[derive(Debug)]
pub(crate) struct Yielded;

/// The outputs of one message, charged to an account until this is dropped. Without an account, nothing is counted.
#[derive(Default)]
pub(crate) struct Charge {
    account: Option<Arc<Account>>,
    bytes: u64,
    /// Whether the message bypassed the budget.
    has_bypassed: bool,
    /// The number of its permit while its attempt runs.
    permit: Option<u64>,
}

impl Charge {
    /// Nothing charged yet, on this account.
    pub(crate) fn to(account: Arc<Account>) -> Self {
        Charge { account: Some(account), ..Charge::default() }
    }

    /// Adds an output. `true`: the attempt must wait for [`Charge::admit`] before it sends more.
    pub(crate) fn add(&mut self, output: &Message) -> bool {
        let Some(account) = &self.account else { return false };
        let bytes = held_bytes(output);
        self.bytes += bytes;
        account.used_bytes.fetch_add(bytes, Ordering::SeqCst);
        account.pool.used_bytes.fetch_add(bytes, Ordering::SeqCst);
        account.status.counters.outputs_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes > ALLOWANCE_BYTES && !self.has_bypassed && !account.has_budget()
    }

    /// Whether the time-out of the message continues while it waits for budget.
    pub(crate) fn times_out_while_waiting(&self) -> bool {
        self.account.as_ref().is_none_or(|account| account.times_out_while_waiting())
    }

    /// Waits until there is budget, or the message may bypass it.
    ///
    /// # Errors
    /// [`Yielded`]: the attempt must end, and is to be repeated.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn admit(&mut self) -> Result<(), Yielded> {
        let Some(account) = self.account.clone() else { return Ok(()) };
        let may_yield = account.purpose == Purpose::Flow;
        let began = Instant::now();
        let _waiting = BudgetWaiter::begin(&account);
        loop {
            let mut released = pin!(account.pool.released.notified());
            released.as_mut().enable();
            if account.has_budget() || self.try_acquire_permit(&account) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = account.stop.cancelled(), if may_yield => return Err(Yielded),
                () = &mut released => {}
                () = account.slots.shortage(), if may_yield && began.elapsed() >= BYPASS_TIMEOUT => return Err(Yielded),
                // The bypass of another message may have expired.
                () = sleep(BYPASS_TIMEOUT) => {}
            }
        }
    }

    /// Acquires the permit to bypass the budget, unless another message has had it for less than [`BYPASS_TIMEOUT`].
    fn try_acquire_permit(&mut self, account: &Account) -> bool {
        let mut permit = account.pool.bypass_permit();
        let is_held = permit.granted_at.is_some_and(|granted_at| granted_at.elapsed() < BYPASS_TIMEOUT);
        if is_held || account.has_bypassed.swap(true, Ordering::SeqCst) {
            return false;
        }
        *permit = BypassPermit { number: permit.number + 1, granted_at: Some(Instant::now()) };
        (self.permit, self.has_bypassed) = (Some(permit.number), true);
        true
    }

    /// Records that the attempt sends nothing more: another message may bypass the budget.
    pub(crate) fn end_attempt(&mut self) {
        let (Some(account), Some(number)) = (&self.account, self.permit.take()) else { return };
        {
            let mut permit = account.pool.bypass_permit();
            if permit.number == number {
                permit.granted_at = None;
            }
        }
        account.pool.wake_waiters();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.end_attempt();
        let Some(account) = self.account.take() else { return };
        if self.has_bypassed {
            account.has_bypassed.store(false, Ordering::SeqCst);
        }
        if self.bytes > 0 {
            account.status.counters.outputs_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            account.used_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
            account.pool.used_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
            account.pool.wake_waiters();
        }
    }
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The memory that an output takes until it is settled: its body once, everything else twice, since the broker receives a copy.
fn held_bytes(output: &Message) -> u64 {
    let memory_bytes = output.memory_bytes();
    memory_bytes + memory_bytes.saturating_sub(output.body.len() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::status::VariantKey;

    const KIB: usize = 1 << 10;

    fn account(outputs: &OutputBudget, purpose: Purpose) -> Arc<Account> {
        let key = VariantKey { processor: "p".into(), variant: "v".into() };
        outputs.account(purpose, Slots::new(4), CancellationToken::new(), Arc::new(VariantStatus::new(key, Arc::default())))
    }

    fn charged(account: &Arc<Account>, kib: usize) -> Charge {
        let mut charge = Charge::to(account.clone());
        charge.add(&Message::new(vec![0; kib * KIB]));
        charge
    }

    #[test]
    fn an_input_may_hold_as_much_as_is_free() {
        let outputs = OutputBudget::new(4 << 20);
        let (one, two, request) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow), account(&outputs, Purpose::Request));
        let held = charged(&one, 1_700);
        assert!(!one.has_budget() && two.has_budget(), "1,700 of 3,072 KiB");
        let also_held = charged(&two, 900);
        assert!(!two.has_budget() && request.has_budget(), "900, and 472 are free");
        drop(held);
        assert!(one.has_budget() && two.has_budget());
        drop(also_held);
        assert_eq!(outputs.flows.available_bytes(), 3 << 20);
        let _held = charged(&request, 600);
        assert!(!request.has_budget() && one.has_budget());
    }

    #[test]
    fn the_first_outputs_of_a_message_never_wait() {
        let account = account(&OutputBudget::new(1 << 20), Purpose::Flow);
        let _held = charged(&account, 4_000);
        let mut charge = charged(&account, 100);
        assert!(!charge.add(&Message::new(vec![0; 20 * KIB])));
        assert!(charge.add(&Message::new(vec![0; 20 * KIB])));
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_bypasses_the_budget_at_a_time_and_a_slow_one_blocks_the_others_for_a_second() {
        let outputs = OutputBudget::new(1 << 20);
        let (one, two) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow));
        let mut slow = charged(&one, 2_000);
        slow.admit().now_or_never().unwrap().unwrap();
        let mut other = charged(&two, 2_000);
        let began = Instant::now();
        other.admit().await.unwrap();
        assert_eq!(began.elapsed(), BYPASS_TIMEOUT);
        other.end_attempt();
        // While the first one is not settled, no second message of its input bypasses the budget.
        let mut second = charged(&one, 2_000);
        assert!(timeout(BYPASS_TIMEOUT * 10, second.admit()).await.is_err());
        drop(slow);
        second.admit().now_or_never().unwrap().unwrap();
        drop((other, second));
        assert_eq!((outputs.flows.used_bytes.load(Ordering::SeqCst), outputs.flows.waiting_count.load(Ordering::SeqCst)), (0, 0));
        assert!(!one.has_bypassed.load(Ordering::SeqCst) && outputs.flows.bypass_permit().granted_at.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_message_yields_to_a_stop_and_to_others_without_an_instance() {
        let outputs = OutputBudget::new(1 << 20);
        let (one, two) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow));
        let mut bypasses = charged(&one, 2_000);
        bypasses.admit().await.unwrap();
        let mut waits = charged(&one, 2_000);
        two.stop.cancel();
        assert!(charged(&two, 2_000).admit().await.is_err());
        let all = one.slots.acquire(Purpose::Flow, one.slots.max_count_per_instance()).await;
        let slots = one.slots.clone();
        let short = tokio::spawn(async move { drop(slots.acquire(Purpose::Flow, 1).await) });
        let began = Instant::now();
        assert!(waits.admit().await.is_err());
        assert_eq!(began.elapsed(), BYPASS_TIMEOUT);
        drop(all);
        short.await.unwrap();
    }
}
