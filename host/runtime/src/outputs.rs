//! The messages that components have sent and that are delivered when their input is settled: limited in bytes, for all processors of a
//! host together (`host.outputs`).
//!
//! A send is charged at once; the charge goes with the outputs to the settler and ends when they are settled, or when the attempt fails.
//! - An input begins its next message only while it holds less than is free. So a blocked one holds at most half of the budget, a second one half of
//!   the rest, and so on: the others continue. An input that holds nothing always begins.
//! - The first 128 KiB of a message never wait. A later send waits until its input holds less than is free.
//! - To guarantee progress, one message at a time bypasses the budget, unless an earlier message of its input that bypassed it is not settled yet. A
//!   slow message does not block the others: after a second the next one may bypass it.
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
const FREE_BYTES: u64 = 128 << 10;
/// How long one message keeps others from bypassing, and how long a waiting one keeps its instance from others.
const BYPASS_TIMEOUT: Duration = Duration::from_secs(1);

/// The budget of a host. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Outputs {
    flows: Arc<Pool>,
    requests: Arc<Pool>,
}

impl Outputs {
    /// A budget of this many bytes.
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let kept_bytes = budget_bytes / 4;
        Outputs { flows: Arc::new(Pool::new(budget_bytes - kept_bytes)), requests: Arc::new(Pool::new(kept_bytes)) }
    }

    /// An account for the workers of one input. When `stop` is cancelled, waiting messages yield.
    pub(crate) fn account(&self, purpose: Purpose, slots: Slots, stop: CancellationToken, status: Arc<VariantStatus>) -> Arc<Account> {
        let pool = match purpose {
            Purpose::Flow => self.flows.clone(),
            Purpose::Request => self.requests.clone(),
        };
        Arc::new(Account { pool, purpose, used_bytes: AtomicU64::new(0), has_passed: AtomicBool::new(false), slots, stop, status })
    }
}

/// The state shared by inputs of one purpose.
struct Pool {
    budget_bytes: u64,
    used_bytes: AtomicU64,
    waiting_count: AtomicUsize,
    /// Notified when something is freed while a worker waits.
    freed: Notify,
    pass: Mutex<Bypass>,
}

/// Which message bypasses the exhausted budget.
#[derive(Default)]
struct Bypass {
    /// The number of the last bypass.
    number: u64,
    /// When the current bypass began, unless its attempt has ended.
    taken: Option<Instant>,
}

impl Pool {
    fn new(budget_bytes: u64) -> Self {
        let (used_bytes, waiting_count) = (AtomicU64::new(0), AtomicUsize::new(0));
        Pool { budget_bytes, used_bytes, waiting_count, freed: Notify::new(), pass: Mutex::default() }
    }

    fn free_bytes(&self) -> u64 {
        self.budget_bytes.saturating_sub(self.used_bytes.load(Ordering::SeqCst))
    }

    fn pass(&self) -> MutexGuard<'_, Bypass> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiters(&self) {
        if self.waiting_count.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// The outputs that one input holds.
pub(crate) struct Account {
    pool: Arc<Pool>,
    purpose: Purpose,
    used_bytes: AtomicU64,
    /// Whether a message of this input that bypassed the budget is not settled yet.
    has_passed: AtomicBool,
    slots: Slots,
    stop: CancellationToken,
    status: Arc<VariantStatus>,
}

impl Account {
    /// Whether waiting for room counts against the time of a message.
    pub(crate) fn waits_count(&self) -> bool {
        self.purpose == Purpose::Request
    }

    /// Waits until the next message of the input may begin.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn wait_to_begin(&self) {
        if self.has_budget() {
            return;
        }
        let _waiting = BudgetWaiter::begin(self);
        loop {
            let mut freed = pin!(self.pool.freed.notified());
            freed.as_mut().enable();
            if self.has_budget() {
                return;
            }
            freed.await;
        }
    }

    /// Whether the input holds less than is free, or nothing.
    fn has_budget(&self) -> bool {
        let used_bytes = self.used_bytes.load(Ordering::SeqCst);
        used_bytes == 0 || used_bytes < self.pool.free_bytes()
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
    has_passed: bool,
    /// The number of its bypass while its attempt runs.
    pass: Option<u64>,
}

impl Charge {
    /// Nothing charged yet, on this account.
    pub(crate) fn to(account: Arc<Account>) -> Self {
        Charge { account: Some(account), ..Charge::default() }
    }

    /// Adds an output. `true`: the attempt must wait for [`Charge::admission`] before it sends more.
    pub(crate) fn add(&mut self, output: &Message) -> bool {
        let Some(account) = &self.account else { return false };
        let bytes = held_bytes(output);
        self.bytes += bytes;
        account.used_bytes.fetch_add(bytes, Ordering::SeqCst);
        account.pool.used_bytes.fetch_add(bytes, Ordering::SeqCst);
        account.status.counters.outputs_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes > FREE_BYTES && !self.has_passed && !account.has_budget()
    }

    /// Whether waiting for room counts against the time of the message.
    pub(crate) fn waits_count(&self) -> bool {
        self.account.as_ref().is_none_or(|account| account.waits_count())
    }

    /// Waits until there is budget, or the message may bypass it.
    ///
    /// # Errors
    /// [`Yielded`]: the attempt must end, and is to be repeated.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn admission(&mut self) -> Result<(), Yielded> {
        let Some(account) = self.account.clone() else { return Ok(()) };
        let gives_way = account.purpose == Purpose::Flow;
        let began = Instant::now();
        let _waiting = BudgetWaiter::begin(&account);
        loop {
            let mut freed = pin!(account.pool.freed.notified());
            freed.as_mut().enable();
            if account.has_budget() || self.take_bypass(&account) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = account.stop.cancelled(), if gives_way => return Err(Yielded),
                () = &mut freed => {}
                () = account.slots.shortage(), if gives_way && began.elapsed() >= BYPASS_TIMEOUT => return Err(Yielded),
                // The bypass of another message may have expired.
                () = sleep(BYPASS_TIMEOUT) => {}
            }
        }
    }

    fn take_bypass(&mut self, account: &Account) -> bool {
        let mut pass = account.pool.pass();
        let is_taken = pass.taken.is_some_and(|taken| taken.elapsed() < BYPASS_TIMEOUT);
        if is_taken || account.has_passed.swap(true, Ordering::SeqCst) {
            return false;
        }
        *pass = Bypass { number: pass.number + 1, taken: Some(Instant::now()) };
        (self.pass, self.has_passed) = (Some(pass.number), true);
        true
    }

    /// Records that the attempt sends nothing more.
    pub(crate) fn end_attempt(&mut self) {
        let (Some(account), Some(number)) = (&self.account, self.pass.take()) else { return };
        {
            let mut pass = account.pool.pass();
            if pass.number == number {
                pass.taken = None;
            }
        }
        account.pool.wake_waiters();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.end_attempt();
        let Some(account) = self.account.take() else { return };
        if self.has_passed {
            account.has_passed.store(false, Ordering::SeqCst);
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

    fn account(outputs: &Outputs, purpose: Purpose) -> Arc<Account> {
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
        let outputs = Outputs::new(4 << 20);
        let (one, two, request) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow), account(&outputs, Purpose::Request));
        let held = charged(&one, 1_700);
        assert!(!one.has_budget() && two.has_budget(), "1,700 of 3,072 KiB");
        let also_held = charged(&two, 900);
        assert!(!two.has_budget() && request.has_budget(), "900, and 472 are free");
        drop(held);
        assert!(one.has_budget() && two.has_budget());
        drop(also_held);
        assert_eq!(outputs.flows.free_bytes(), 3 << 20);
        let _held = charged(&request, 600);
        assert!(!request.has_budget() && one.has_budget());
    }

    #[test]
    fn the_first_outputs_of_a_message_never_wait() {
        let account = account(&Outputs::new(1 << 20), Purpose::Flow);
        let _held = charged(&account, 4_000);
        let mut charge = charged(&account, 100);
        assert!(!charge.add(&Message::new(vec![0; 20 * KIB])));
        assert!(charge.add(&Message::new(vec![0; 20 * KIB])));
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_bypasses_the_budget_at_a_time_and_a_slow_one_blocks_the_others_for_a_second() {
        let outputs = Outputs::new(1 << 20);
        let (one, two) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow));
        let mut slow = charged(&one, 2_000);
        slow.admission().now_or_never().unwrap().unwrap();
        let mut other = charged(&two, 2_000);
        let began = Instant::now();
        other.admission().await.unwrap();
        assert_eq!(began.elapsed(), BYPASS_TIMEOUT);
        other.end_attempt();
        // While the first one is not settled, no second message of its input bypasses the budget.
        let mut second = charged(&one, 2_000);
        assert!(timeout(BYPASS_TIMEOUT * 10, second.admission()).await.is_err());
        drop(slow);
        second.admission().now_or_never().unwrap().unwrap();
        drop((other, second));
        assert_eq!((outputs.flows.used_bytes.load(Ordering::SeqCst), outputs.flows.waiting_count.load(Ordering::SeqCst)), (0, 0));
        assert!(!one.has_passed.load(Ordering::SeqCst) && outputs.flows.pass().taken.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_message_yields_to_a_stop_and_to_others_without_an_instance() {
        let outputs = Outputs::new(1 << 20);
        let (one, two) = (account(&outputs, Purpose::Flow), account(&outputs, Purpose::Flow));
        let mut passes = charged(&one, 2_000);
        passes.admission().await.unwrap();
        let mut waits = charged(&one, 2_000);
        two.stop.cancel();
        assert!(charged(&two, 2_000).admission().await.is_err());
        let all = one.slots.take(Purpose::Flow, one.slots.largest_count()).await;
        let slots = one.slots.clone();
        let short = tokio::spawn(async move { drop(slots.take(Purpose::Flow, 1).await) });
        let began = Instant::now();
        assert!(waits.admission().await.is_err());
        assert_eq!(began.elapsed(), BYPASS_TIMEOUT);
        drop(all);
        short.await.unwrap();
    }
}
