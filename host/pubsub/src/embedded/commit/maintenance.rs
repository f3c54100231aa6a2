//! Maintenance of the log by the commit thread, between commits and when idle: dead segments are removed, and the oldest one is compacted when it
//! takes too much space.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::appender::Appender;
use super::records;
use crate::embedded::damage::Damage;
use crate::embedded::log::{Chunk, ReadFault};
use crate::embedded::refusal::WriteFailure;
use crate::embedded::state::{Compaction, Copied, CopySource, Group, StateChange, is_compaction_due};
use crate::lock::lock;

/// Minimum number of bytes copied at a time, unless fewer are left: each portion costs a flush.
const MIN_PORTION_BYTES: u64 = 256 << 10;
/// Approximate number of bytes copied at a time when idle; takes some milliseconds.
const PORTION_BYTES: u64 = 1 << 20;
/// Under load, at most this many bytes are copied for each byte that commits write.
const COPIED_PER_WRITTEN: u64 = 2;
/// Messages examined under one lock, and how often that is done between two commits.
const EXAMINED_COUNT: usize = 8 << 10;
const EXAMINATIONS_COUNT: usize = 16;
/// Pause after a failed copy.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Whether operations wait for the commit thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Busy,
    Idle,
}

/// The maintenance due for the oldest segment.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// It is dead.
    Remove(u32),
    /// It takes too much space for its live bytes.
    Copy { segment: u32, live_bytes: u64 },
}

/// The state of maintenance.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    compaction: Option<Compaction>,
    chunk: Chunk,
    /// Bytes that may be copied, earned by bytes written and bytes that died.
    credit_bytes: u64,
    /// Bytes that the last commit wrote.
    last_bytes: u64,
    resting_until: Option<Instant>,
    is_due: bool,
}

impl Maintenance {
    /// Counts a commit.
    pub(super) fn count(&mut self, written_bytes: u64) {
        self.last_bytes = written_bytes;
        self.credit_bytes += written_bytes * COPIED_PER_WRITTEN;
    }

    /// Whether there is work for the next idle moment.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// The remaining pause.
    pub(super) fn remaining_pause(&self) -> Option<Duration> {
        self.resting_until.map(|until| until.saturating_duration_since(Instant::now())).filter(|remaining_pause| !remaining_pause.is_zero())
    }

    /// The bytes that may be copied now.
    fn budget_bytes(&mut self, pace: Pace) -> u64 {
        let most = PORTION_BYTES.max(self.last_bytes * COPIED_PER_WRITTEN);
        self.credit_bytes = self.credit_bytes.min(most);
        if pace == Pace::Idle { PORTION_BYTES } else { self.credit_bytes }
    }

    /// Performs a small part of the due maintenance: removes a dead segment, or copies a portion.
    pub(super) fn maintain(&mut self, appender: &mut Appender, pace: Pace) {
        let due = self.next_due(appender);
        self.is_due = due.is_some();
        match due {
            // One at a time: the unlinking and its flush may take some 10 ms each.
            Some(Due::Remove(segment)) => appender.log.unlink(segment),
            Some(Due::Copy { segment, live_bytes }) if self.remaining_pause().is_none() => {
                if let Err(failure) = self.copy(appender, segment, live_bytes, pace) {
                    tracing::warn!(error = failure.to_reason(), "messages not copied forward, retrying in 1 s");
                    self.compaction = None;
                    self.resting_until = Some(Instant::now() + RETRY_PAUSE);
                }
            }
            Some(Due::Copy { .. }) => {}
            None => self.compaction = None,
        }
    }

    /// The maintenance due for the oldest segment.
    fn next_due(&mut self, appender: &Appender) -> Option<Due> {
        let active = appender.log.active_number();
        let mut state = lock(&appender.shared.state);
        self.credit_bytes += state.live.take_dead_bytes();
        if let Some(segment) = state.live.pop_dead(active) {
            return Some(Due::Remove(segment));
        }
        let (segment, live_bytes) = state.live.oldest().filter(|(segment, _)| *segment != active)?;
        let is_due = is_compaction_due(appender.log.total_bytes(), state.live.bytes(), appender.log.segment_bytes());
        (is_due && appender.log.takes_moves()).then_some(Due::Copy { segment, live_bytes })
    }

    /// Copies a portion of the oldest segment, once its messages were located.
    fn copy(&mut self, appender: &mut Appender, segment: u32, live_bytes: u64, pace: Pace) -> Result<(), WriteFailure> {
        let mut compaction = match self.compaction.take() {
            Some(compaction) if compaction.segment() == segment => compaction,
            _ => Compaction::new(&lock(&appender.shared.state), segment),
        };
        let is_found = (0..EXAMINATIONS_COUNT).any(|_| compaction.look(&lock(&appender.shared.state), EXAMINED_COUNT));
        let pace = if appender.log.disk_full().is_some() { Pace::Idle } else { pace };
        let budget_bytes = self.budget_bytes(pace);
        if is_found && budget_bytes >= MIN_PORTION_BYTES.min(live_bytes) {
            let copied_bytes = self.copy_portion(appender, &mut compaction, budget_bytes, live_bytes)?;
            self.credit_bytes = self.credit_bytes.saturating_sub(copied_bytes);
            if compaction.is_done() {
                return Ok(());
            }
        }
        self.compaction = Some(compaction);
        Ok(())
    }

    /// Writes messages again and applies their new positions; damaged ones are set aside in the same frame. Returns the bytes written.
    fn copy_portion(
        &mut self,
        appender: &mut Appender,
        compaction: &mut Compaction,
        limit_bytes: u64,
        live_bytes: u64,
    ) -> Result<u64, WriteFailure> {
        let mut group = Group::default();
        let portion = {
            let mut state = lock(&appender.shared.state);
            appender.add_counts(&mut state, &mut group);
            compaction.next_portion(&state, limit_bytes)
        };
        let mut steps = group.steps;
        let damaged = self.read_blocks(appender, portion, &mut steps)?;
        if !damaged.is_empty() {
            let mut state = lock(&appender.shared.state);
            let kept_count = damaged.into_iter().filter_map(|(copied, damage)| state.rescue(copied, damage, &mut steps)).count();
            if kept_count > 0 {
                // Their consumers hold them and will settle or requeue them; until then the segment stays.
                self.resting_until = Some(Instant::now() + RETRY_PAUSE);
            }
        }
        if steps.is_empty() {
            return Ok(0);
        }
        // The reserve is for settles: copying uses it only if that is certain to free more.
        let written = if live_bytes <= appender.log.held_reserve_bytes() / 2 {
            appender.write(&mut steps)
        } else {
            records::write(&mut appender.log, &mut steps)
        };
        match written {
            Ok(bytes) => {
                appender.shared.copied_bytes_count.fetch_add(bytes, Ordering::Relaxed);
                lock(&appender.shared.state).apply(steps).send();
                Ok(bytes)
            }
            Err(failure) => {
                lock(&appender.shared.state).undo(steps, &failure).send();
                Err(failure)
            }
        }
    }

    /// Reads the messages to be copied and adds a step for each. Returns damaged ones; other faults are retried later.
    fn read_blocks(
        &mut self,
        appender: &Appender,
        portion: Vec<Copied>,
        steps: &mut Vec<StateChange>,
    ) -> Result<Vec<(Copied, Box<Damage>)>, WriteFailure> {
        let mut damaged = Vec::new();
        let mut fault = None;
        for copied in portion {
            match appender.shared.reader.block(copied.position, &mut self.chunk) {
                Ok(block) => {
                    let Copied { targets, size_bytes, position } = copied;
                    steps.push(StateChange::Move { targets, size_bytes, content: CopySource::Block(block), position });
                }
                Err(ReadFault::Damaged(damage)) => damaged.push((copied, damage)),
                Err(ReadFault::Failed { path, offset, source }) => {
                    fault =
                        Some(WriteFailure::because(format!("the message at byte {offset} of {} cannot be read", path.display()), source));
                }
            }
        }
        fault.map_or(Ok(damaged), Err)
    }
}
