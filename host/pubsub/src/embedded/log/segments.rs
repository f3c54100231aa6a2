//! The open log: the active segment, and those before it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::DiskWatch;
use super::folder::FolderLock;
use super::frame::FrameBuffer;
use super::mark::Marker;
use super::reader::Reader;
use super::record::Record;
use super::recovered::RecoveredQueue;
use super::recovery;
use super::reserve::DiskReserve;
use super::segment::{self, FORMAT_VERSION, HEADER_BYTES, Header};
use super::write_errors::WriteErrors;
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::LogPosition;
use crate::embedded::options::{EmbeddedOptions, OpenError, OpeningReport, SyncMode};
use crate::embedded::refusal::{DiskFull, WriteFailure};

/// Upper limit: offsets in a segment have 32 bits, and one more frame may follow.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// The open log. Used by the commit thread only.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    sync: SyncMode,
    segment_bytes: u64,
    active: Active,
    /// Lengths of the segments before the active one.
    sealed: BTreeMap<u32, u64>,
    sealed_bytes: u64,
    next_frame: u64,
    frame: FrameBuffer,
    reader: Arc<Reader>,
    disk: DiskWatch,
    reserve: DiskReserve,
    marker: Marker,
    /// Why nothing can be written until the log is opened again.
    broken: Option<String>,
    errors: WriteErrors,
    /// Set by tests: the number of writes that stop half-way next.
    #[cfg(test)]
    failing_writes_are_counted: Arc<std::sync::atomic::AtomicU32>,
    _lock: FolderLock,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    number: u32,
    file: File,
    /// Up to the end of the last whole frame.
    length: u64,
    seed: u32,
    version: u32,
}

/// The content found in the folder.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) queues: BTreeMap<u64, RecoveredQueue>,
    pub(crate) report: OpeningReport,
}

impl Log {
    /// Locks the folder, recovers its content, and makes the log ready for writing.
    pub(crate) fn open(folder: &Path, options: &EmbeddedOptions) -> Result<Opened, OpenError> {
        let lock = FolderLock::take(folder)?;
        let found = recovery::recover(folder, options.sync)?;
        let report = found.report();
        let reader = Arc::new(Reader::new(folder.to_owned()));
        let mut sealed = found.sealed;
        let (active, next_frame) = match found.last {
            Some(last) => {
                let file = segment::open_to_write(folder, last.number)?;
                sealed.remove(&last.number);
                (Active { number: last.number, file, length: last.length, seed: last.seed, version: last.version }, found.next_frame)
            }
            None => {
                let active = create(folder, options.sync, 1, 1, &[]).map_err(|source| OpenError::Io {
                    action: "create the first segment in",
                    path: folder.to_owned(),
                    source,
                })?;
                (active, 2)
            }
        };
        let mut log = Log {
            folder: folder.to_owned(),
            sync: options.sync,
            segment_bytes: options.segment_bytes.min(MAX_SEGMENT_BYTES),
            active,
            sealed_bytes: sealed.values().sum(),
            sealed,
            next_frame,
            frame: FrameBuffer::default(),
            reader,
            disk: DiskWatch::new(folder, options.disk_reserve_percent),
            reserve: DiskReserve::new(folder.join("reserve"), options.held_reserve_bytes),
            marker: Marker::new(folder, options.sync, found.mark),
            broken: None,
            errors: WriteErrors::default(),
            #[cfg(test)]
            failing_writes_are_counted: Arc::default(),
            _lock: lock,
        };
        log.look_at_disk();
        Ok(Opened { log, queues: found.queues, report })
    }

    /// Lets tests of the broker make writes fail.
    #[cfg(test)]
    pub(crate) fn failing_writes_are_counted(&self) -> Arc<std::sync::atomic::AtomicU32> {
        self.failing_writes_are_counted.clone()
    }

    /// The reader of messages, for use from any thread.
    pub(crate) fn reader(&self) -> Arc<Reader> {
        self.reader.clone()
    }

    /// Numbers of all segments.
    pub(crate) fn segments(&self) -> Vec<u32> {
        self.sealed.keys().copied().chain([self.active.number]).collect()
    }

    /// The segment that is being written.
    pub(crate) fn active_number(&self) -> u32 {
        self.active.number
    }

    /// Its length.
    pub(crate) fn active_bytes(&self) -> u64 {
        self.active.length
    }

    /// The length of all segments together.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.sealed_bytes + self.active.length
    }

    /// The length above which a segment is followed by another.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whether the next frame should go to a new segment.
    pub(crate) fn is_active_full(&self) -> bool {
        self.active.length >= self.segment_bytes || !self.takes_moves()
    }

    /// Whether the active segment may grow beyond its nominal size.
    pub(crate) fn may_grow(&self) -> bool {
        self.active.length < MAX_SEGMENT_BYTES
    }

    /// Whether the active segment is of a version that has Moved records.
    pub(crate) fn takes_moves(&self) -> bool {
        self.active.version >= FORMAT_VERSION
    }

    /// Space that is reserved for a full disk, in bytes.
    pub(crate) fn held_reserve_bytes(&self) -> u64 {
        self.reserve.held_bytes()
    }

    /// Whether that space should be reserved again once the disk has room.
    pub(crate) fn lacks_reserve(&self) -> bool {
        self.reserve.is_missing()
    }

    /// The disk, if it has too little space for publishers.
    pub(crate) fn disk_full(&self) -> Option<&DiskFull> {
        self.disk.full()
    }

    /// Measures the disk if the last measurement is old, or the writes since then may have filled it; allocates the reserve if there is space.
    pub(crate) fn look_at_disk(&mut self) {
        if let Some(disk) = self.disk.look() {
            let held_bytes = self.reserve.held_bytes();
            self.reserve.fill(disk);
            self.disk.count(self.reserve.held_bytes() - held_bytes);
        }
    }

    /// Begins a new segment that defines these queues.
    pub(crate) fn rotate(&mut self, queues: &[QueueDefinition]) -> Result<(), WriteFailure> {
        self.check()?;
        let number = self.active.number + 1;
        let made = create(&self.folder, self.sync, number, self.next_frame, queues);
        self.begin(number, made)
    }

    /// Begins a new segment in the reserved space.
    pub(crate) fn rotate_into_reserve(&mut self, queues: &[QueueDefinition]) -> Result<(), WriteFailure> {
        self.check()?;
        let number = self.active.number + 1;
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let made = self.reserve.take().ok_or_else(full).and_then(|file| {
            let active = begin(file, self.sync, number, self.next_frame, queues)?;
            std::fs::rename(self.reserve.path(), segment::path(&self.folder, number))?;
            segment::sync_folder(&self.folder, self.sync)?;
            Ok(active)
        });
        self.begin(number, made)?;
        tracing::warn!(folder = %self.folder.display(), "disk full, log continued in the reserved space");
        Ok(())
    }

    fn begin(&mut self, number: u32, made: std::io::Result<Active>) -> Result<(), WriteFailure> {
        let active = made.map_err(|error| {
            // The incomplete file must not look like a segment.
            let path = segment::path(&self.folder, number);
            let _ = std::fs::remove_file(&path);
            self.errors.failed(&path, &error);
            self.disk.invalidate();
            self.disk.failure(&error)
        })?;
        self.next_frame += 1;
        self.disk.count(active.length);
        let old = std::mem::replace(&mut self.active, active);
        self.sealed_bytes += old.length;
        self.sealed.insert(old.number, old.length);
        Ok(())
    }

    /// Begins a frame.
    pub(crate) fn begin_frame(&mut self) -> Result<NewFrame<'_>, WriteFailure> {
        self.check()?;
        self.frame.begin();
        Ok(NewFrame { log: self })
    }

    /// Writes the frame and flushes it; returns the bytes written.
    fn write_frame(&mut self) -> Result<u64, WriteFailure> {
        let bytes = self.frame.finish(self.next_frame, self.active.seed);
        let length = bytes.len() as u64;
        #[cfg(not(test))]
        let written = self.active.file.write_all_at(bytes, self.active.length);
        #[cfg(test)]
        let written = write_or_fail(&self.failing_writes_are_counted, &self.active.file, bytes, self.active.length);
        if let Err(error) = written {
            return Err(self.truncate_failed_write(&error));
        }
        flush(&self.active.file, self.sync);
        self.errors.passed();
        self.active.length += length;
        self.disk.count(length);
        self.next_frame += 1;
        self.frame.shrink();
        Ok(length)
    }

    /// Whether [`Log::mark`] covers everything written.
    pub(crate) fn is_marked(&self) -> bool {
        !self.marker.is_behind(self.active.number, self.active.length)
    }

    /// Records durably that everything up to here is durable, and how many messages the queues hold.
    pub(crate) fn mark(&mut self, messages_count: u64) {
        self.marker.write(self.active.number, self.active.length, messages_count);
    }

    /// Unlinks the oldest segment, which must be dead.
    pub(crate) fn unlink(&mut self, number: u32) {
        self.sealed_bytes -= self.sealed.remove(&number).unwrap_or_default();
        let path = segment::path(&self.folder, number);
        // One flush each, so that segments are removed from the front only. A segment that cannot be removed is read again at the next opening, and
        // is dead then too.
        if let Err(error) = std::fs::remove_file(&path).and_then(|()| segment::sync_folder(&self.folder, self.sync)) {
            tracing::warn!(path = %path.display(), %error, "segment not removed");
        }
        // Last, so that no reader opens it again and keeps its space allocated.
        self.reader.forget(number);
    }

    fn check(&self) -> Result<(), WriteFailure> {
        self.broken.clone().map_or(Ok(()), |reason| Err(WriteFailure::unavailable(reason)))
    }

    fn truncate_failed_write(&mut self, error: &std::io::Error) -> WriteFailure {
        let path = segment::path(&self.folder, self.active.number);
        self.errors.failed(&path, error);
        if let Err(error) = self.active.file.set_len(self.active.length) {
            tracing::error!(path = %path.display(), %error, "truncation failed, nothing is written until the next start");
            self.broken = Some(format!("{} could not be truncated after a failed write: restart", path.display()));
        }
        self.disk.invalidate();
        self.disk.failure(error)
    }
}

/// A frame that is filled with records and then written.
#[derive(Debug)]
pub(crate) struct NewFrame<'a> {
    log: &'a mut Log,
}

impl NewFrame<'_> {
    /// Adds a record; returns the future position of its message, if it has one.
    pub(crate) fn push(&mut self, record: Record<'_>) -> Option<LogPosition> {
        let active = &self.log.active;
        self.log.frame.push(record, active.number, active.length)
    }

    /// Writes the frame and flushes it, even if it is empty; returns the bytes written.
    pub(crate) fn write(self) -> Result<u64, WriteFailure> {
        self.log.write_frame()
    }
}

/// Creates a segment with its first frame, durable together with its name.
fn create(folder: &Path, sync: SyncMode, number: u32, first_frame: u64, queues: &[QueueDefinition]) -> std::io::Result<Active> {
    let active = begin(segment::create_new(folder, number)?, sync, number, first_frame, queues)?;
    segment::sync_folder(folder, sync)?;
    Ok(active)
}

/// Writes the header and the first frame of a segment into an empty file.
fn begin(file: File, sync: SyncMode, number: u32, first_frame: u64, queues: &[QueueDefinition]) -> std::io::Result<Active> {
    let header = Header::new(u64::from(number), first_frame, rand::random());
    let seed = header.seed();
    let mut frame = FrameBuffer::default();
    frame.begin();
    for definition in queues {
        frame.push(Record::Defined(definition), number, HEADER_BYTES as u64);
    }
    let first = frame.finish(first_frame, seed);
    file.write_all_at(&header.encode(), 0)?;
    file.write_all_at(first, HEADER_BYTES as u64)?;
    let length = (HEADER_BYTES + first.len()) as u64;
    flush(&file, sync);
    Ok(Active { number, file, length, seed, version: header.version })
}

/// Flushes, or panics, which ends the commit thread and the broker: after a failed flush the kernel may have dropped the pages, and a second attempt
/// would succeed without writing them.
fn flush(file: &File, sync: SyncMode) {
    if sync == SyncMode::None {
        return;
    }
    if let Err(error) = file.sync_data() {
        panic!("flush of the queues failed ({error}); committed data is read at the next start");
    }
}

/// Writes, or stops half-way while tests request failures.
#[cfg(test)]
fn write_or_fail(failing_count: &std::sync::atomic::AtomicU32, file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    use std::sync::atomic::Ordering;
    if failing_count.try_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_err() {
        return file.write_all_at(bytes, offset);
    }
    file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
    Err(std::io::ErrorKind::StorageFull.into())
}
