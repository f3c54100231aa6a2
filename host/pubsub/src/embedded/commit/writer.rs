//! The loop of the commit thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::appender::Appender;
use super::inbox::Next;
use super::maintenance::{Maintenance, Pace};
use super::retries::Retries;
use super::shared::Shared;
use crate::embedded::log::Log;
use crate::embedded::state::{Group, Operation, StateChange};
use crate::lock::lock;

/// Maximum number of operations in one frame: bounds how long the lock is held.
const GROUP_COUNT: usize = 1024;
/// Approximate maximum of bytes in one frame: larger frames are no faster.
const GROUP_BYTES: u64 = 4 << 20;
/// Idle time before a dead active segment is replaced.
const IDLE: Duration = Duration::from_millis(100);
/// Idle time before a part of the maintenance.
const PAUSE: Duration = Duration::from_millis(1);
/// How often an idle broker checks whether there is space for the reserve again.
const RESERVE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Idle time before the mark of the log is written.
const MARK_DELAY: Duration = Duration::from_secs(1);
/// Minimum number of bytes in one frame, however small segments are.
const MIN_GROUP_BYTES: u64 = 64 << 10;

/// Commits operations in groups.
pub(super) struct Writer {
    shared: Arc<Shared>,
    appender: Appender,
    maintenance: Maintenance,
    retries: Retries,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, log: Log) -> Self {
        let appender = Appender::new(shared.clone(), log);
        Writer { shared, appender, maintenance: Maintenance::default(), retries: Retries::new() }
    }

    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        // Keeps segments close to their nominal size.
        let group_bytes = GROUP_BYTES.min((self.appender.log.segment_bytes() / 4).max(MIN_GROUP_BYTES));
        self.maintenance.maintain(&mut self.appender, Pace::Idle);
        self.appender.mark();
        loop {
            let due = self.retries.take_due();
            if !due.is_empty() {
                self.commit(due);
                self.maintenance.maintain(&mut self.appender, Pace::Busy);
            }
            match self.shared.inbox.next(self.time_to_next()) {
                Next::Operations(operations) => {
                    let mut rest = operations.into_iter().peekable();
                    while rest.peek().is_some() {
                        self.commit(take_group(&mut rest, group_bytes));
                        self.maintenance.maintain(&mut self.appender, Pace::Busy);
                    }
                }
                Next::Idle => self.idle(),
                Next::Closed => {
                    self.appender.commit_counts();
                    self.appender.mark();
                    return;
                }
            }
        }
    }

    /// How long to wait for operations before [`Writer::idle`]; `None` if there is no idle work.
    fn time_to_next(&self) -> Option<Duration> {
        let maintenance = self.maintenance.is_due().then(|| self.maintenance.remaining_pause().unwrap_or(PAUSE));
        let emptying = self.appender.should_rotate_dead().then_some(IDLE);
        let marking = (!self.appender.log.is_marked()).then_some(MARK_DELAY);
        let reserve = self.appender.log.lacks_reserve().then_some(RESERVE_CHECK_INTERVAL);
        let other = maintenance.or(emptying).or(marking).or(reserve);
        [other, self.retries.time_to_next()].into_iter().flatten().min()
    }

    /// Does idle work, after no operation arrived for a while.
    fn idle(&mut self) {
        if !self.maintenance.is_due() && self.retries.time_to_next().is_none() {
            if self.appender.should_rotate_dead() {
                // A failure here is retried after the next commit, whose callers get the error.
                self.appender.is_emptying_futile = self.appender.rotate().is_err();
            } else if !self.appender.log.is_marked() {
                // Not only on shutdown: the process may be killed, and data that it confirmed may be damaged later.
                self.appender.mark();
            }
        }
        self.appender.look_at_disk();
        self.maintenance.maintain(&mut self.appender, Pace::Idle);
    }

    /// Decides operations, writes them, applies them, and sends the results.
    fn commit(&mut self, operations: Vec<Operation>) {
        let ready = if self.appender.log.is_active_full() { self.appender.rotate() } else { Ok(()) };
        self.appender.look_at_disk();
        let mut group = Group::default();
        let now = Instant::now();
        let mut state = lock(&self.shared.state);
        for operation in operations {
            state.decide(operation, &mut group, now);
        }
        if Group::is_durable(&group.steps) {
            self.appender.add_counts(&mut state, &mut group);
        }
        drop(state);
        #[cfg(any(test, debug_assertions))]
        assert!(!self.shared.panics_next.load(Ordering::SeqCst), "ordered by a test");
        let mut steps = std::mem::take(&mut group.steps);
        if Group::is_durable(&steps) {
            match ready.and_then(|()| self.appender.write(&mut steps)) {
                Ok(bytes) => {
                    self.count(&group, bytes);
                    self.retries.retry_now();
                    self.appender.is_emptying_futile = false;
                }
                Err(failure) => {
                    self.retries.park(steps.iter().filter_map(StateChange::to_repeat));
                    let wakeups = lock(&self.shared.state).undo(steps, &failure);
                    wakeups.send();
                    group.fail(&failure);
                    return;
                }
            }
        }
        let wakeups = lock(&self.shared.state).apply(steps);
        wakeups.send();
        group.answer();
    }

    fn count(&mut self, group: &Group, bytes: u64) {
        self.maintenance.count(bytes);
        self.shared.groups_count.fetch_add(1, Ordering::Relaxed);
        self.shared.operations_count.fetch_add(group.operations_count, Ordering::Relaxed);
        self.shared.bytes_count.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The operations of the next frame.
fn take_group(rest: &mut std::iter::Peekable<impl Iterator<Item = Operation>>, group_bytes: u64) -> Vec<Operation> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = rest.peek() {
        let alone = next.is_structural();
        if !group.is_empty() && (alone || group.len() >= GROUP_COUNT || bytes + next.size_bytes() > group_bytes) {
            break;
        }
        bytes += next.size_bytes();
        group.extend(rest.next());
        if alone {
            break;
        }
    }
    group
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also when the thread panics: no caller may wait for a result that will not come.
        self.shared.inbox.abandon();
        self.shared.admission.close();
        lock(&self.shared.state).close();
    }
}
