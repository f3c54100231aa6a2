//! The commit thread: the only one that changes what is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Failure, Group, Operation, Step};
use super::inbox::Next;
use super::log::Log;
use super::parked::Parked;
use super::queues::State;
use super::upkeep::{Pace, Upkeep};
use super::{Shared, lock};

/// Operations in one frame, at most: how long the lock is held at a time.
const GROUP_COUNT: usize = 1024;
/// Bytes in one frame, about: beyond it a bigger frame is no faster.
const GROUP_BYTES: u64 = 4 << 20;
/// The log's last segment is given back when it is empty of messages and above this size; a new one costs three flushes.
const IDLE_SEGMENT_BYTES: u64 = 1 << 20;
/// How long nothing must be asked before that is done.
const IDLE: Duration = Duration::from_millis(100);
/// How long nothing must be asked before a piece of upkeep is done.
const PAUSE: Duration = Duration::from_millis(1);
/// How often an idle broker looks whether the disk has room for its reserve again.
const RESERVE_LOOK: Duration = Duration::from_secs(1);
/// How long nothing must be asked before it is noted how far the log is whole.
const QUIET: Duration = Duration::from_secs(1);
/// However small segments are, so much of a frame is one.
const LEAST_GROUP_BYTES: u64 = 64 << 10;

/// Commits what is asked for, in groups.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) upkeep: Upkeep,
    is_disk_full: bool,
    parked: Parked,
    /// The last attempt to empty the log while idle failed: the next is made after a commit.
    is_emptying_futile: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, log: Log) -> Self {
        let upkeep = Upkeep::default();
        Writer { shared, log, upkeep, is_disk_full: false, parked: Parked::new(), is_emptying_futile: false }
    }

    /// Works until the inbox is closed and empty.
    pub(super) fn run(mut self) {
        // A segment is not much longer than it should be.
        let group_bytes = GROUP_BYTES.min((self.log.segment_bytes() / 4).max(LEAST_GROUP_BYTES));
        self.keep_up(Pace::Idle);
        self.mark();
        loop {
            let due = self.parked.take_due();
            if !due.is_empty() {
                self.commit(due);
                self.keep_up(Pace::Busy);
            }
            match self.shared.inbox.next(self.patience()) {
                Next::Operations(operations) => {
                    let mut rest = operations.into_iter().peekable();
                    while rest.peek().is_some() {
                        self.commit(take_group(&mut rest, group_bytes));
                        self.keep_up(Pace::Busy);
                    }
                }
                Next::Idle => self.idle(),
                Next::Closed => {
                    self.commit_counts();
                    self.mark();
                    return;
                }
            }
        }
    }

    /// How long to wait for operations before [`Writer::idle`]; for ever if there is nothing to do then.
    fn patience(&self) -> Option<Duration> {
        let upkeep = self.upkeep.is_due().then(|| self.upkeep.rest().unwrap_or(PAUSE));
        let emptying = self.is_worth_emptying().then_some(IDLE);
        let marking = (!self.log.is_marked()).then_some(QUIET);
        let reserve = self.log.misses_reserve().then_some(RESERVE_LOOK);
        let other = upkeep.or(emptying).or(marking).or(reserve);
        [other, self.parked.patience()].into_iter().flatten().min()
    }

    /// Nothing was asked for a while.
    fn idle(&mut self) {
        if !self.upkeep.is_due() && self.parked.patience().is_none() {
            if self.is_worth_emptying() {
                // What fails here is tried again after the next commit, which tells its callers.
                self.is_emptying_futile = self.rotate().is_err();
            } else if !self.log.is_marked() {
                // Not only at the end: a process may be killed, and what it had confirmed be damaged later.
                self.mark();
            }
        }
        self.look_at_disk();
        self.keep_up(Pace::Idle);
    }

    fn mark(&mut self) {
        let messages_count = lock(&self.shared.state).messages_count();
        self.log.mark(messages_count);
    }

    /// Decides, writes, applies, answers.
    fn commit(&mut self, operations: Vec<Operation>) {
        let ready = if self.log.is_active_full() { self.rotate() } else { Ok(()) };
        self.look_at_disk();
        let mut group = Group::default();
        let now = Instant::now();
        let mut state = lock(&self.shared.state);
        for operation in operations {
            state.decide(operation, &mut group, now);
        }
        if Group::is_durable(&group.steps) {
            self.add_counts(&mut state, &mut group);
        }
        drop(state);
        #[cfg(any(test, debug_assertions))]
        assert!(!self.shared.panics_next.load(Ordering::SeqCst), "ordered by a test");
        let mut steps = std::mem::take(&mut group.steps);
        if Group::is_durable(&steps) {
            match ready.and_then(|()| self.write(&mut steps)) {
                Ok(bytes) => {
                    self.count(&group, bytes);
                    self.parked.hurry();
                    self.is_emptying_futile = false;
                }
                Err(failure) => {
                    self.parked.park(steps.iter().filter_map(Step::to_repeat));
                    let wakes = lock(&self.shared.state).undo(steps, &failure);
                    wakes.ring();
                    group.fail(&failure);
                    return;
                }
            }
        }
        let wakes = lock(&self.shared.state).apply(steps);
        wakes.ring();
        group.answer();
    }

    /// Adds what was received since the last commit.
    pub(super) fn add_counts(&self, state: &mut State, group: &mut Group) {
        // Not in the head of the loop, where its lock would be held to the end of it.
        let seats = std::mem::take(&mut *lock(&self.shared.received));
        for (queue, seat) in seats {
            let received = std::mem::take(&mut lock(&seat.local).received);
            state.note_received(queue, received);
        }
        state.add_counts(group);
    }

    /// Tells the log at the end what was received. That may fail: it only counts.
    fn commit_counts(&mut self) {
        let mut group = Group::default();
        self.add_counts(&mut lock(&self.shared.state), &mut group);
        if !group.steps.is_empty() {
            let _ = self.log.write(&mut group.steps);
        }
    }

    /// Writes steps; on a full disk into the space that is held in reserve.
    pub(super) fn write(&mut self, steps: &mut [Step]) -> Result<u64, Failure> {
        match self.log.write(steps) {
            Err(Failure::DiskFull(_)) if self.log.held_reserve_bytes() > 0 => {
                let definitions = lock(&self.shared.state).definitions_before(steps);
                self.log.rotate_into_reserve(&definitions)?;
                lock(&self.shared.state).live.begin(self.log.active_number());
                self.log.write(steps)
            }
            outcome => outcome,
        }
    }

    fn count(&mut self, group: &Group, bytes: u64) {
        self.upkeep.count(bytes);
        self.shared.groups_count.fetch_add(1, Ordering::Relaxed);
        self.shared.operations_count.fetch_add(group.operations_count, Ordering::Relaxed);
        self.shared.bytes_count.fetch_add(bytes, Ordering::Relaxed);
    }

    fn look_at_disk(&mut self) {
        self.log.look_at_disk();
        let full = self.log.disk_full();
        if full.is_some() != self.is_disk_full {
            self.is_disk_full = full.is_some();
            lock(&self.shared.state).disk_full = full.cloned();
        }
    }

    fn rotate(&mut self) -> Result<(), Failure> {
        let definitions = lock(&self.shared.state).definitions();
        match self.log.rotate(&definitions) {
            // The active segment takes more until there is room for another; where nothing of it lives, the reserve is best spent on another.
            Err(Failure::DiskFull(_)) if self.log.may_grow() && !self.is_worth_emptying() => return Ok(()),
            Err(Failure::DiskFull(_)) if self.log.held_reserve_bytes() > 0 => self.log.rotate_into_reserve(&definitions)?,
            outcome => outcome?,
        }
        lock(&self.shared.state).live.begin(self.log.active_number());
        self.mark();
        Ok(())
    }

    /// Whether the active segment is the only one, dead, and large.
    fn is_worth_emptying(&self) -> bool {
        !self.is_emptying_futile && self.log.active_bytes() > IDLE_SEGMENT_BYTES && lock(&self.shared.state).live.is_empty()
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
        // Also when the thread panics: nobody may wait for what never comes.
        self.shared.inbox.abandon();
        self.shared.room.close();
        lock(&self.shared.state).close();
    }
}
