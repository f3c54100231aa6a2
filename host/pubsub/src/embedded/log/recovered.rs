//! The recovered content of a folder of segments, and its losses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::damage::DamagedFiles;
use super::mark::{self, Mark};
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;
use crate::embedded::options::{OpeningReport, TornTail};

/// A message in the log.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredMessage {
    pub(crate) position: LogPosition,
    pub(crate) size_bytes: u32,
    /// The number of queues in its record.
    pub(crate) targets_count: u32,
    pub(crate) deliveries: u32,
}

/// A queue in the log.
#[derive(Debug)]
pub(crate) struct RecoveredQueue {
    pub(crate) definition: QueueDefinition,
    pub(crate) entries: BTreeMap<u64, RecoveredMessage>,
    /// Messages that it should have, but that are missing with their segments.
    pub(crate) missing_count: u64,
    /// The first sequence that is not one of those.
    pub(super) missing_below: u64,
    /// Minimum number of messages among the entries that were settled in a lost part of the log; which ones is unknown.
    pub(super) repeated_count: u64,
    /// Whether frames are missing since the last record with its next sequence.
    pub(super) is_behind_gap: bool,
}

impl RecoveredQueue {
    pub(super) fn new(definition: QueueDefinition) -> Self {
        RecoveredQueue { definition, entries: BTreeMap::new(), missing_count: 0, missing_below: 0, repeated_count: 0, is_behind_gap: false }
    }

    /// Removes a message, found or missing.
    pub(super) fn remove(&mut self, sequence: u64) {
        if self.entries.remove(&sequence).is_none() && sequence < self.missing_below {
            self.missing_count = self.missing_count.saturating_sub(1);
        }
    }
}

/// An unreadable part of a segment.
#[derive(Debug)]
pub(super) struct LostPart {
    pub(super) path: PathBuf,
    pub(super) position: LogPosition,
    pub(super) detail: &'static str,
}

/// The statements in the first frame of a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentStart {
    /// Existing queues, and whether an earlier segment defined them.
    pub(super) defined: BTreeMap<u64, bool>,
    /// The number of their messages.
    pub(super) live: BTreeMap<u64, u64>,
}

/// The segment to continue with.
#[derive(Debug)]
pub(super) struct LastSegment {
    pub(super) number: u32,
    pub(super) length: u64,
    pub(super) seed: u32,
    /// The format that the segment was begun in.
    pub(super) version: u32,
}

/// The content of a folder.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) queues: BTreeMap<u64, RecoveredQueue>,
    /// All segments with their lengths, including the last one.
    pub(super) sealed: BTreeMap<u32, u64>,
    pub(super) last: Option<LastSegment>,
    pub(super) next_frame: u64,
    /// How far the log was certainly whole.
    pub(super) mark: Mark,
    pub(super) torn: Option<TornTail>,
    /// Segments and offsets of damaged messages.
    pub(super) damaged: BTreeSet<(u32, u32)>,
    /// The problem with the mark, if any.
    pub(super) lost_mark: Option<&'static str>,
    /// Unreadable parts of segments.
    pub(super) lost: Vec<LostPart>,
    /// Whether frames are missing since the last segment began.
    pub(super) has_gap: bool,
    /// Messages of queues that were defined in a lost part.
    pub(super) unnamed: BTreeMap<u64, BTreeMap<u64, RecoveredMessage>>,
    /// The statements of the current frame, if it is the first of its segment.
    pub(super) beginning: Option<SegmentStart>,
}

impl Recovered {
    pub(super) fn report(&self) -> OpeningReport {
        OpeningReport {
            queues_count: self.queues.len() as u64,
            messages_count: self.queues.values().map(|queue| queue.entries.len() as u64).sum(),
            segments_count: self.sealed.len() as u64,
            log_bytes: self.sealed.values().sum(),
            torn_tail: self.torn.clone(),
            missing_count: self.queues.values().map(|queue| queue.missing_count).sum(),
            damaged_count: self.queues.values().map(|queue| self.damaged_count(queue)).sum(),
            repeated_count: self.queues.values().map(|queue| queue.repeated_count).sum(),
            lost_mark: self.lost_mark,
        }
    }

    fn damaged_count(&self, queue: &RecoveredQueue) -> u64 {
        if self.damaged.is_empty() {
            return 0;
        }
        queue.entries.values().filter(|entry| self.damaged.contains(&(entry.position.segment, entry.position.offset))).count() as u64
    }

    /// Logs the losses for each queue.
    pub(crate) fn log_losses(&self, folder: &Path) {
        if let Some(detail) = self.lost_mark {
            tracing::error!(path = %mark::path(folder).display(), error = detail, "mark lost: loss of the newest segments cannot be \
                 detected this time");
        }
        for queue in self.queues.values() {
            let (topic, subscription) = (queue.definition.queue.topic(), queue.definition.queue.subscription());
            let (missing_count, damaged_count) = (queue.missing_count, self.damaged_count(queue));
            if missing_count > 0 {
                tracing::error!(%topic, %subscription, missing_count, "messages missing: the parts of the log that held them are lost");
            }
            if queue.repeated_count > 0 {
                let settled_count = queue.repeated_count;
                tracing::error!(%topic, %subscription, settled_count, "settled messages are redelivered: the part of the log that recorded this is lost");
            }
            if damaged_count > 0 {
                tracing::error!(%topic, %subscription, damaged_count, "messages damaged; set aside when reached");
            }
        }
    }

    /// Logs the unreadable parts, and stores their bytes in files.
    pub(super) fn keep_lost(&self, folder: &Path) {
        let keep = DamagedFiles::default();
        for LostPart { path, position, detail } in &self.lost {
            let kept_in = read_part(path, *position).and_then(|bytes| keep.keep(folder, *position, &bytes.into()));
            let kept_in = kept_in.as_ref().map(|path| tracing::field::display(path.display()));
            let (offset, length) = (position.offset, position.length);
            tracing::error!(segment = %path.display(), offset, length, error = detail, kept_in, "part of the log unreadable, its records \
                 are lost");
        }
        let unnamed_count: usize = self.unnamed.values().map(BTreeMap::len).sum();
        if unnamed_count > 0 {
            tracing::error!(messages_count = unnamed_count, "messages lost whose queues were defined in a lost part of the log");
        }
    }
}

/// The bytes of a part, unless all are 0.
fn read_part(path: &Path, position: LogPosition) -> Option<Vec<u8>> {
    let mut bytes = vec![0; position.length as usize];
    File::open(path).and_then(|file| file.read_exact_at(&mut bytes, u64::from(position.offset))).ok()?;
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}
