//! Upkeep of the log by the commit thread, between commits and when it is idle: dead segments are removed, and what lives of the oldest one is
//! copied forward when it keeps too much.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::group::{Failure, Group, Step};
use super::lock;
use super::log::{Chunk, ReadFault};
use super::moving::{self, Mover, Unread};
use super::writer::Writer;

/// Bytes that are copied at a time, at least while so much is left: a portion costs a flush.
const LEAST_PORTION_BYTES: u64 = 256 << 10;
/// Bytes that are copied at a time, about: some milliseconds.
const PORTION_BYTES: u64 = 1 << 20;
/// While commits go on, so many bytes are copied at most for each that they write.
const COPIED_PER_WRITTEN: u64 = 2;
/// Messages that are looked at under one lock, and how often that is done between two commits.
const LOOKED_AT_COUNT: usize = 8 << 10;
const LOOKS_COUNT: usize = 16;
/// How long copying rests after it failed.
const REST: Duration = Duration::from_secs(1);

/// Whether others wait for the commit thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Busy,
    Idle,
}

/// What the oldest segment needs.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Nothing lives in it.
    Remove(u32),
    /// It keeps more than it should.
    Copy { segment: u32, live_bytes: u64 },
}

/// What upkeep remembers.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    mover: Option<Mover>,
    chunk: Chunk,
    /// Bytes that may be copied, by what was written and what died.
    credit_bytes: u64,
    /// What the last commit wrote.
    last_bytes: u64,
    resting_until: Option<Instant>,
    is_due: bool,
}

impl Upkeep {
    /// Notes a commit.
    pub(super) fn count(&mut self, written_bytes: u64) {
        self.last_bytes = written_bytes;
        self.credit_bytes += written_bytes * COPIED_PER_WRITTEN;
    }

    /// Whether there is something to do as soon as nothing else is.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// How long it rests.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.resting_until.map(|until| until.saturating_duration_since(Instant::now())).filter(|rest| !rest.is_zero())
    }

    /// The most that may be copied now.
    fn budget_bytes(&mut self, pace: Pace) -> u64 {
        let most = PORTION_BYTES.max(self.last_bytes * COPIED_PER_WRITTEN);
        self.credit_bytes = self.credit_bytes.min(most);
        if pace == Pace::Idle { PORTION_BYTES } else { self.credit_bytes }
    }
}

impl Writer {
    /// Does a small piece of what is due: a dead segment is removed, or a portion copied.
    pub(super) fn keep_up(&mut self, pace: Pace) {
        let due = self.next_due();
        self.upkeep.is_due = due.is_some();
        match due {
            // One at a time: the unlinking and its flush may take some 10 ms each.
            Some(Due::Remove(segment)) => self.log.unlink(segment),
            Some(Due::Copy { segment, live_bytes }) if self.upkeep.rest().is_none() => {
                if let Err(failure) = self.copy(segment, live_bytes, pace) {
                    tracing::warn!(error = failure.to_reason(), "messages not copied forward, tried again in a second");
                    self.upkeep.mover = None;
                    self.upkeep.resting_until = Some(Instant::now() + REST);
                }
            }
            Some(Due::Copy { .. }) => {}
            None => self.upkeep.mover = None,
        }
    }

    /// What is due for the oldest segment.
    fn next_due(&mut self) -> Option<Due> {
        let active = self.log.active_number();
        let mut state = lock(&self.shared.state);
        self.upkeep.credit_bytes += state.live.take_died_bytes();
        if let Some(segment) = state.live.pop_dead(active) {
            return Some(Due::Remove(segment));
        }
        let (segment, live_bytes) = state.live.oldest().filter(|(segment, _)| *segment != active)?;
        let is_due = moving::is_due(self.log.total_bytes(), state.live.bytes(), self.log.segment_bytes());
        (is_due && self.log.takes_moves()).then_some(Due::Copy { segment, live_bytes })
    }

    /// Copies a portion of the oldest segment, after its messages were found.
    fn copy(&mut self, segment: u32, live_bytes: u64, pace: Pace) -> Result<(), Failure> {
        let mut mover = match self.upkeep.mover.take() {
            Some(mover) if mover.segment() == segment => mover,
            _ => Mover::new(&lock(&self.shared.state), segment),
        };
        let is_found = (0..LOOKS_COUNT).any(|_| mover.look(&lock(&self.shared.state), LOOKED_AT_COUNT));
        let pace = if self.log.disk_full().is_some() { Pace::Idle } else { pace };
        let budget_bytes = self.upkeep.budget_bytes(pace);
        if is_found && budget_bytes >= LEAST_PORTION_BYTES.min(live_bytes) {
            let copied_bytes = self.copy_portion(&mut mover, budget_bytes, live_bytes)?;
            self.upkeep.credit_bytes = self.upkeep.credit_bytes.saturating_sub(copied_bytes);
            if mover.is_done() {
                return Ok(());
            }
        }
        self.upkeep.mover = Some(mover);
        Ok(())
    }

    /// Writes messages again and makes them known at their new places; those that are damaged are set aside with it. Returns the bytes written.
    fn copy_portion(&mut self, mover: &mut Mover, limit_bytes: u64, live_bytes: u64) -> Result<u64, Failure> {
        let mut group = Group::default();
        {
            let mut state = lock(&self.shared.state);
            self.add_counts(&mut state, &mut group);
            group.steps.extend(mover.next_portion(&state, limit_bytes));
        }
        let (mut steps, damaged) = self.read_blocks(std::mem::take(&mut group.steps))?;
        if !damaged.is_empty() {
            let mut state = lock(&self.shared.state);
            let kept_count = damaged.into_iter().filter_map(|damaged| state.rescue(damaged, &mut steps)).count();
            if kept_count > 0 {
                // Their consumers have them and settle them, or give them back: until then the segment stays.
                self.upkeep.resting_until = Some(Instant::now() + REST);
            }
        }
        if steps.is_empty() {
            return Ok(0);
        }
        // The reserve is for settling: copying takes it only where that surely frees more.
        let written = if live_bytes <= self.log.held_reserve_bytes() / 2 { self.write(&mut steps) } else { self.log.write(&mut steps) };
        match written {
            Ok(bytes) => {
                self.shared.copied_bytes_count.fetch_add(bytes, Ordering::Relaxed);
                lock(&self.shared.state).apply(steps).ring();
                Ok(bytes)
            }
            Err(failure) => {
                lock(&self.shared.state).undo(steps, &failure).ring();
                Err(failure)
            }
        }
    }

    /// Reads what is to be copied. Messages that are damaged are left out of the steps and returned beside them; any other fault is tried again.
    fn read_blocks(&mut self, mut steps: Vec<Step>) -> Result<(Vec<Step>, Vec<Unread>), Failure> {
        let mut damaged = Vec::new();
        let mut fault = None;
        steps.retain_mut(|step| {
            let Step::Move { targets, size_bytes, block, place } = step else { return true };
            match self.shared.reader.block(*place, &mut self.upkeep.chunk) {
                Ok(read) => *block = read,
                Err(ReadFault::Damaged(damage)) => {
                    damaged.push(Unread { targets: std::mem::take(targets), size_bytes: *size_bytes, damage });
                    return false;
                }
                Err(failed) => fault = Some(Failure::Unavailable(failed.to_string())),
            }
            true
        });
        fault.map_or(Ok((steps, damaged)), Err)
    }
}
