//! Options of the embedded broker, and what it reports.

use std::io;
use std::path::{Path, PathBuf};

use crate::backend::Notice;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Every commit is flushed to stable storage (`fdatasync`) before it is confirmed: it survives a power failure.
    #[default]
    Data,
    /// Commits are left to the operating system: they survive a crash of the process, not of the machine. For tests and benchmarks.
    None,
}

/// Options of an [`EmbeddedBroker`](super::EmbeddedBroker). The defaults suit a single machine.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// When a commit counts as durable.
    pub sync: SyncMode,
    /// The size in bytes above which a segment file is followed by a new one; 32 MiB by default. Disk space is freed in units of this size.
    pub segment_bytes: u64,
    /// Memory in bytes for messages of `flow` queues ([`Message::memory_bytes`](crate::Message::memory_bytes)), all queues together; others are read
    /// back from disk. 64 MiB by default.
    pub cached_bytes: u64,
    /// The size in bytes above which a `flow` queue refuses publishers with `QueueFull`; settles always pass. 1 GiB by default.
    pub queue_high_bytes: u64,
    /// The maximum memory of the messages of one `request` queue, in bytes; 64 MiB by default.
    pub request_queue_bytes: u64,
    /// The maximum number of messages in one `request` queue; 100,000 by default.
    pub request_queue_count: u64,
    /// Publishers are refused while less than this share of the disk is free, in percent; 5 by default.
    pub disk_reserve_percent: u64,
    /// Space in bytes that is allocated on disk and not used until the disk is full, so that settles still pass; at most 1/32 of the disk. 16 MiB by
    /// default.
    pub held_reserve_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions {
            sync: SyncMode::default(),
            segment_bytes: 32 << 20,
            cached_bytes: 64 << 20,
            queue_high_bytes: 1 << 30,
            request_queue_bytes: 64 << 20,
            request_queue_count: 100_000,
            disk_reserve_percent: 5,
            held_reserve_bytes: 16 << 20,
        }
    }
}

/// What was found when a broker was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpeningReport {
    /// `flow` queues that exist.
    pub queues_count: u64,
    /// Messages in them.
    pub messages_count: u64,
    /// Segment files that were read.
    pub segments_count: u64,
    /// Bytes of all segment files together, after a torn tail was cut.
    pub log_bytes: u64,
    /// The unfinished write at the end of the log, if there was one.
    pub torn_tail: Option<TornTail>,
    /// Upper limit of the messages that should be in the queues but are lost, because parts of the log are missing or unreadable.
    pub missing_count: u64,
    /// Messages among those counted above that are damaged: they are set aside when they are reached.
    pub damaged_count: u64,
    /// Minimum number of the messages among those counted above that are redelivered although they were settled: the part of the log that recorded
    /// this is lost.
    pub repeated_count: u64,
    /// The problem with the file `MARK`, if any: loss of the newest segments is then not detected.
    pub lost_mark: Option<&'static str>,
}

impl OpeningReport {
    /// The notices for operators.
    pub(super) fn notices(&self) -> Vec<Notice> {
        let counted = |count: u64, text: &str| (count > 0).then(|| Notice { count: Some(count), text: text.to_owned() });
        let torn_count = self.torn_tail.as_ref().map_or(0, |torn| torn.bytes);
        let unmarked = |detail| Notice {
            count: None,
            text: format!("LOSS OF THE NEWEST MESSAGES CANNOT BE DETECTED this time: queues/MARK: {detail}"),
        };
        let all = [
            counted(self.messages_count, "messages kept from the previous run"),
            counted(
                self.missing_count,
                "MESSAGES ARE MISSING: parts of the log are missing or unreadable; Weir's own log lists the queues. Restore a backup to \
                     recover them",
            ),
            counted(self.repeated_count, "settled messages are redelivered: the part of the log that recorded this is lost"),
            self.lost_mark.map(unmarked),
            counted(
                self.damaged_count,
                "of the messages kept ARE DAMAGED: they are set aside when they are reached; the log lists the queues",
            ),
            counted(torn_count, "bytes at the end of the log were truncated: an unfinished write; they are kept in queues/*.torn"),
        ];
        all.into_iter().flatten().collect()
    }
}

/// The unfinished write at the end of the log, from a crash during a commit that was not confirmed to any caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The number of bytes cut off.
    pub bytes: u64,
    /// The file with the bytes that were cut off.
    pub kept_in: PathBuf,
}

/// What was committed since the broker was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// Groups: each is one write and one flush.
    pub groups_count: u64,
    /// Operations in them: publishes, settles and the like.
    pub operations_count: u64,
    /// Bytes that they wrote to the log.
    pub bytes_count: u64,
    /// Additional bytes, written to copy old messages forward and keep the log small.
    pub copied_bytes_count: u64,
}

/// Why a queue folder could not be opened. Its content is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses it.
    #[error("the queues in {} are in use by another process: stop it, or use another data folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "{} has format version {found}, and this program supports {known}: it was written by a newer version; use that version to open it",
        segment.display()
    )]
    NewerFormat {
        /// The file.
        segment: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest format version supported here.
        known: u32,
    },
    /// Committed data is unreadable.
    #[error(
        "{} is damaged at byte {offset} ({detail}): nothing was changed; restore a backup of the whole data folder, or move the folder {} away to start with empty queues",
        segment.display(), folder_of(segment).display()
    )]
    Damaged {
        /// The file.
        segment: PathBuf,
        /// The offset in the file, in bytes.
        offset: u64,
        /// The problem at that offset.
        detail: String,
    },
    /// An error of the operating system.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// The queue folder of a segment.
fn folder_of(segment: &Path) -> &Path {
    segment.parent().unwrap_or(segment)
}
