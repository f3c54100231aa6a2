//! The log: what `flow` queues hold, on disk.
//!
//! # Format, version 2
//! A folder with `LOCK` (locked while a process has the folder open) and **segments** `NNNNNNNNNNNNNNNNNNNN.log`, numbered from 1 without
//! gaps; old ones vanish from the front. `MARK` says how far the log was whole. `*.torn` files keep what was cut from a torn tail, and
//! `SEGMENT-OFFSET.damaged` files the bytes of damaged messages, both for people; nothing reads them. `reserve` is an empty file of allocated
//! blocks, see below. All numbers are little-endian. A text is its length (u32) and its UTF-8 bytes. Version 1 has neither `MARK` nor records
//! above 6.
//!
//! **Segment**: a header of 48 bytes, then frames until the end of the file.
//!
//! | header | |
//! |---|---|
//! | 8 bytes | `WEIRLOG\0` |
//! | u32 | format version |
//! | u32 | flags, 0 |
//! | u64 | number of the segment |
//! | u64 | number of its first frame |
//! | u64 | salt, random: begins the checksum of every frame, so that no message can hold what looks like a frame |
//! | u32 | reserved, 0 |
//! | u32 | CRC-32C of the 44 bytes before |
//!
//! **Frame**: one commit; it counts whole or not at all.
//!
//! | frame | |
//! |---|---|
//! | 4 bytes | `WFRM` |
//! | u32 | length of the payload |
//! | u64 | number of the frame: consecutive over the whole log |
//! | u32 | CRC-32C of salt, length, number and payload |
//! | payload | records, one behind the other |
//!
//! **Record**: one byte for its kind, then its fields.
//!
//! | kind | fields | meaning |
//! |---|---|---|
//! | 1 Defined | u32 queue, text topic, text subscription, u64 bound (all ones: none; top bit set: messages above it are refused; else the oldest are dropped), u64 next sequence, u64 dropped | the queue exists; written again when its bound changes |
//! | 2 Deleted | u32 queue | it does not any more, nor do its messages |
//! | 3 Put | u32 count, count times (u32 queue, u64 sequence), u32 size, message | a message enters these queues |
//! | 4 Removed | u32 queue, u64 sequence | it was settled or taken |
//! | 5 Dropped | u32 queue, u64 sequence | it was dropped because of the queue's bound |
//! | 6 Delivered | u32 queue, u64 first, u64 last | each of these sequences that is still there was delivered once more |
//! | 7 Moved | u32 count, count times (u32 queue, u64 sequence, u32 deliveries), u32 size, message | the message is here from now on; its first copy may be gone; so often was it delivered until then |
//! | 16 SetAside | u32 queue, u64 sequence | it was damaged and left the queue |
//! | 17 Live | u32 queue, u64 count | the queue, defined before, has so many messages in earlier segments; only in the first frame of a segment, none: 0 |
//!
//! A **message** is u32 length, u32 CRC-32C of the bytes behind it (so that it can be checked when it is read alone, much later), then: one
//! byte of flags (1 id, 2 from, 4 content type); id, 16 bytes, big-endian; text from; text content type; u32 count of properties, each two
//! texts; the rest is the body. The size in a Put is what the message counts against bounds.
//!
//! The first frame of a segment defines all queues that exist, with their next sequences and drop counters, so that a segment can be
//! unlinked as soon as no queue has a message of it and of those before it: everything else in it speaks of messages that are gone. What the
//! oldest segment says to be live in earlier ones, and does not go later on, is missing.
//!
//! **`MARK`**: two slots of 48 bytes, at 0 and 4096, written by turns; of those that are whole the one with the higher count holds.
//! `WEIRMRK\0`, u64 count, u64 segment, u64 length of that segment, u64 messages in all queues, u32 CRC-32C of the 40 bytes before, u32 0.
//! Everything up to there was durable when it was written: at the start, with a new segment, after a second without commits, and at the end.
//!
//! Each segment states the version that it was begun in. A segment of an older version is read, and never
//! written to again where there is room for a new one: a program that knows the older version alone refuses the folder by its newest segment.
//!
//! # Copying forward
//! One old message would keep the segments behind it. So when the log has more than three times the bytes that live and a segment on top,
//! what lives of the oldest segment is written again at the end, as Moved, until the segment is dead (`embedded/moving.rs`). With the writes
//! that go on meanwhile, the log stays below four times what lives and two segments. A crash in between leaves both copies: the later counts.
//!
//! # Full disks
//! `reserve` holds blocks. When a write finds no room, the state is defined in that file, and it is renamed to be the next segment: settling
//! goes on in blocks that nobody else can take. It is allocated again once the disk has room.
//!
//! # Writing
//! A frame is written with one call and flushed before anybody hears of it. A failed write is cut back to the last whole frame. After a
//! failed flush nothing is known of what is on disk, so the broker fails for good; the next opening reads what is there.
//!
//! # Opening
//! A bad frame at the end of the last segment, with no valid frame and not the mark behind it, is a write that was never finished: it is set
//! aside and cut. Of a frame that was committed, the checksums of its messages tell whether only they are damaged: then it counts, and they are
//! set aside when they are reached. Where other parts of a segment with others behind it do not read or are missing, reading goes on behind them; what
//! was in them is counted by the next first frame (`gap.rs`), and their bytes are kept. A newest segment that does not read up to the mark, or is
//! missing, is damage of which the extent is not known: opening refuses and changes nothing.

mod confined;
mod damage;
mod disk;
mod folder;
mod frame;
mod gap;
mod mark;
mod reader;
mod recovery;
mod reserve;
mod segment;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::damage::damaged_files;
pub(super) use self::damage::{Damage, ReadFault};
pub use self::disk::DiskUse;
pub(super) use self::frame::Definition;
pub(super) use self::frame::encode_block;
pub use self::mark::lost_mark;
pub(super) use self::reader::{Chunk, Reader};
pub(super) use self::recovery::RecoveredQueue;
pub use self::reserve::DiskReserve;

use self::disk::DiskWatch;
use self::folder::FolderLock;
use self::frame::FrameBuffer;
use self::mark::Marker;
use self::segment::{FORMAT_VERSION, HEADER_BYTES, Header};
use super::group::{Failure, Step};
use super::options::{EmbeddedOptions, OpenError, OpeningReport, SyncMode};
use super::queues::DiskFull;
use super::trouble::Trouble;

/// Upper bound: places in a segment are 32 bits wide, and one frame may come on top.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// The open log. Used by the commit thread alone.
#[derive(Debug)]
pub(super) struct Log {
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
    /// Why nothing can be written any more until the log is opened anew.
    broken: Option<String>,
    trouble: Trouble,
    /// Set by tests: so many of the next writes stop half way.
    #[cfg(test)]
    failing_writes_count: Arc<std::sync::atomic::AtomicU32>,
    _lock: FolderLock,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    number: u32,
    file: File,
    /// Up to the end of its last whole frame.
    length: u64,
    seed: u32,
    version: u32,
}

/// What was found in the folder.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) queues: BTreeMap<u64, RecoveredQueue>,
    pub(super) report: OpeningReport,
}

impl Log {
    /// Locks the folder, reads everything, and makes the log ready to go on.
    pub(super) fn open(folder: &std::path::Path, options: &EmbeddedOptions) -> Result<Opened, OpenError> {
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
            trouble: Trouble::default(),
            #[cfg(test)]
            failing_writes_count: Arc::default(),
            _lock: lock,
        };
        log.look_at_disk();
        Ok(Opened { log, queues: found.queues, report })
    }

    /// So that tests of the broker can make writes fail.
    #[cfg(test)]
    pub(super) fn failing_writes_count(&self) -> Arc<std::sync::atomic::AtomicU32> {
        self.failing_writes_count.clone()
    }

    /// To read messages by, from any thread.
    pub(super) fn reader(&self) -> Arc<Reader> {
        self.reader.clone()
    }

    /// Numbers of all segments.
    pub(super) fn segments(&self) -> Vec<u32> {
        self.sealed.keys().copied().chain([self.active.number]).collect()
    }

    /// The segment that is written to.
    pub(super) fn active_number(&self) -> u32 {
        self.active.number
    }

    /// How long it is.
    pub(super) fn active_bytes(&self) -> u64 {
        self.active.length
    }

    /// How long all segments are together.
    pub(super) fn total_bytes(&self) -> u64 {
        self.sealed_bytes + self.active.length
    }

    /// Above which length a segment is followed by another.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whether the next frame should go to a new segment.
    pub(super) fn is_active_full(&self) -> bool {
        self.active.length >= self.segment_bytes || !self.takes_moves()
    }

    /// Whether the active segment can take more although it is full.
    pub(super) fn may_grow(&self) -> bool {
        self.active.length < MAX_SEGMENT_BYTES
    }

    /// Whether the active segment is of a version that has Moved records.
    pub(super) fn takes_moves(&self) -> bool {
        self.active.version >= FORMAT_VERSION
    }

    /// Space that is held for when the disk is full.
    pub(super) fn held_reserve_bytes(&self) -> u64 {
        self.reserve.held_bytes()
    }

    /// Whether that space is to be taken once there is room.
    pub(super) fn misses_reserve(&self) -> bool {
        self.reserve.is_missing()
    }

    /// Whether the disk has too little room for publishers.
    pub(super) fn disk_full(&self) -> Option<&DiskFull> {
        self.disk.full()
    }

    /// Measures the disk if that was long ago, or what was written since may have filled it, and takes the reserve if it can.
    pub(super) fn look_at_disk(&mut self) {
        if let Some(disk) = self.disk.look() {
            let held_bytes = self.reserve.held_bytes();
            self.reserve.fill(disk);
            self.disk.count(self.reserve.held_bytes() - held_bytes);
        }
    }

    /// Begins a new segment, which defines these queues.
    pub(super) fn rotate(&mut self, queues: &[Definition]) -> Result<(), Failure> {
        self.check()?;
        let number = self.active.number + 1;
        let made = create(&self.folder, self.sync, number, self.next_frame, queues);
        self.begin(number, made)
    }

    /// The same in the space that is held in reserve.
    pub(super) fn rotate_into_reserve(&mut self, queues: &[Definition]) -> Result<(), Failure> {
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
        tracing::warn!(folder = %self.folder.display(), "disk full, the log goes on in the space that was held in reserve");
        Ok(())
    }

    fn begin(&mut self, number: u32, made: std::io::Result<Active>) -> Result<(), Failure> {
        let active = made.map_err(|error| {
            // Whatever is there of it must not be taken for a segment.
            let path = segment::path(&self.folder, number);
            let _ = std::fs::remove_file(&path);
            self.trouble.failed(&path, &error);
            self.disk.distrust();
            self.disk.failure(&error)
        })?;
        self.next_frame += 1;
        self.disk.count(active.length);
        let old = std::mem::replace(&mut self.active, active);
        self.sealed_bytes += old.length;
        self.sealed.insert(old.number, old.length);
        Ok(())
    }

    /// Writes one frame and flushes it; tells every put where it is. Returns the bytes written.
    pub(super) fn write(&mut self, steps: &mut [Step]) -> Result<u64, Failure> {
        self.check()?;
        self.frame.begin();
        for step in steps.iter_mut() {
            self.frame.push(step, self.active.number, self.active.length);
        }
        let bytes = self.frame.finish(self.next_frame, self.active.seed);
        let length = bytes.len() as u64;
        #[cfg(not(test))]
        let written = self.active.file.write_all_at(bytes, self.active.length);
        #[cfg(test)]
        let written = tests::write(&self.failing_writes_count, &self.active.file, bytes, self.active.length);
        if let Err(error) = written {
            return Err(self.cut_back(&error));
        }
        flush(&self.active.file, self.sync);
        self.trouble.passed();
        self.active.length += length;
        self.disk.count(length);
        self.next_frame += 1;
        self.frame.shrink();
        Ok(length)
    }

    /// Whether something was written that [`Log::mark`] has not noted yet.
    pub(super) fn is_marked(&self) -> bool {
        !self.marker.is_behind(self.active.number, self.active.length)
    }

    /// Notes durably that everything up to here is, and how many messages the queues hold.
    pub(super) fn mark(&mut self, messages_count: u64) {
        self.marker.write(self.active.number, self.active.length, messages_count);
    }

    /// Unlinks the oldest segment, of which nothing is needed any more.
    pub(super) fn unlink(&mut self, number: u32) {
        self.sealed_bytes -= self.sealed.remove(&number).unwrap_or_default();
        let path = segment::path(&self.folder, number);
        // One flush for each, so that they vanish from the front only. What stays is read again at the next opening, and is dead then too.
        if let Err(error) = std::fs::remove_file(&path).and_then(|()| segment::sync_folder(&self.folder, self.sync)) {
            tracing::warn!(path = %path.display(), %error, "segment not removed");
        }
        // Afterwards, so that no reader opens it again and keeps its space.
        self.reader.forget(number);
    }

    fn check(&self) -> Result<(), Failure> {
        self.broken.clone().map_or(Ok(()), |reason| Err(Failure::Unavailable(reason)))
    }

    fn cut_back(&mut self, error: &std::io::Error) -> Failure {
        let path = segment::path(&self.folder, self.active.number);
        self.trouble.failed(&path, error);
        if let Err(error) = self.active.file.set_len(self.active.length) {
            tracing::error!(path = %path.display(), %error, "cutting back failed, nothing is written until the next start");
            self.broken = Some(format!("{} could not be cut back after a failed write: restart", path.display()));
        }
        self.disk.distrust();
        self.disk.failure(error)
    }
}

/// Makes a segment with its first frame, durable together with its name.
fn create(folder: &std::path::Path, sync: SyncMode, number: u32, first_frame: u64, queues: &[Definition]) -> std::io::Result<Active> {
    let active = begin(segment::create_new(folder, number)?, sync, number, first_frame, queues)?;
    segment::sync_folder(folder, sync)?;
    Ok(active)
}

/// Writes the header and the first frame of a segment into an empty file.
fn begin(file: File, sync: SyncMode, number: u32, first_frame: u64, queues: &[Definition]) -> std::io::Result<Active> {
    let header = Header::new(u64::from(number), first_frame, rand::random());
    let seed = header.seed();
    let mut frame = FrameBuffer::default();
    frame.begin();
    queues.iter().for_each(|queue| frame.define(queue));
    let first = frame.finish(first_frame, seed);
    file.write_all_at(&header.encode(), 0)?;
    file.write_all_at(first, HEADER_BYTES as u64)?;
    let length = (HEADER_BYTES + first.len()) as u64;
    flush(&file, sync);
    Ok(Active { number, file, length, seed, version: header.version })
}

/// Flushes, or ends the commit thread for good by a panic, and with it the broker: after a failed flush the kernel may have dropped the pages,
/// and a second try would succeed without them.
fn flush(file: &File, sync: SyncMode) {
    if sync == SyncMode::None {
        return;
    }
    if let Err(error) = file.sync_data() {
        panic!("flush of the queues failed ({error}); what was committed is read at the next start");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
