//! The mark: how far the log was whole when the mark was written. It distinguishes lost commits from an unfinished write.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::segment::{self, Header};
use crate::embedded::options::SyncMode;

const NAME: &str = "MARK";
/// The first format version with marks.
const FIRST_VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"WEIRMRK\0";
const SLOT_BYTES: usize = 48;
/// Farther apart than a disk's write unit, so that a torn write damages only one of them.
const SLOT_DISTANCE: u64 = 4096;

/// Everything before this position was durable. A mark is never ahead of the log, but may be far behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Incremented with each mark.
    count: u64,
    /// The segment being written.
    pub(super) segment: u32,
    /// Its length, up to the end of its last whole frame.
    pub(super) length: u64,
    /// The number of messages in the queues.
    pub(super) messages_count: u64,
}

impl Mark {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&u64::from(self.segment).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.messages_count.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<Self> {
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        let is_whole = bytes[..8] == MAGIC && bytes[40..44] == crc32c::crc32c(&bytes[..40]).to_le_bytes();
        let segment = u32::try_from(long(16)).ok()?;
        is_whole.then_some(Mark { count: long(8), segment, length: long(24), messages_count: long(32) })
    }

    /// How far a segment was certainly whole, in bytes.
    pub(super) fn committed_bytes(&self, segment: u32) -> u64 {
        match segment.cmp(&self.segment) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => self.length,
            std::cmp::Ordering::Greater => 0,
        }
    }
}

/// The marks of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkFile {
    Missing,
    Damaged,
    Whole(Mark),
}

impl MarkFile {
    /// The newest mark; if there is none, a mark before everything.
    pub(super) fn mark(self) -> Mark {
        if let MarkFile::Whole(mark) = self { mark } else { Mark::default() }
    }

    /// The problem with the mark, if any, given the number, format version and length of the newest segment.
    pub(super) fn lost(self, newest: Option<(u32, u32, u64)>) -> Option<&'static str> {
        let (number, version, length) = newest?;
        // The first mark follows the first segment; an older version wrote none.
        let is_new = number == 1 && length <= segment::MIN_BYTES;
        match self {
            MarkFile::Missing if version >= FIRST_VERSION && !is_new => Some("the file is missing"),
            MarkFile::Damaged => Some("the file is unreadable"),
            MarkFile::Missing | MarkFile::Whole(_) => None,
        }
    }
}

/// The file of the marks.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// The problem with the mark of a queue folder that is not in use, if any; without a mark, loss of the newest segments is not detected.
///
/// # Errors
/// If the folder or the mark cannot be read.
pub fn lost_mark(folder: &Path) -> io::Result<Option<&'static str>> {
    let Some(number) = segment::list(folder).map_err(io::Error::other)?.pop() else { return Ok(None) };
    let file = File::open(segment::path(folder, number))?;
    let length = file.metadata()?.len();
    let mut bytes = [0; segment::HEADER_BYTES];
    // An unreadable header is reported when the folder is opened.
    let version = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| Header::decode(&bytes).ok()).map_or(0, |header| header.version);
    Ok(read(folder)?.lost(Some((number, version, length))))
}

/// Reads the newest mark of a folder.
pub(super) fn read(folder: &Path) -> io::Result<MarkFile> {
    let path = path(folder);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(MarkFile::Missing),
        Err(error) => return Err(error),
    };
    let slot = |at: u64| -> io::Result<Option<Mark>> {
        let mut bytes = [0; SLOT_BYTES];
        match file.read_exact_at(&mut bytes, at * SLOT_DISTANCE) {
            Ok(()) => Ok(Mark::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    };
    let newest = [slot(0)?, slot(1)?].into_iter().flatten().max_by_key(|mark| mark.count);
    Ok(newest.map_or(MarkFile::Damaged, MarkFile::Whole))
}

/// Writes marks alternately into two slots.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
    sync: SyncMode,
    file: Option<File>,
    last: Mark,
}

impl Marker {
    /// Continues from the mark that was found.
    pub(super) fn new(folder: &Path, sync: SyncMode, found: Mark) -> Self {
        Marker { path: folder.join(NAME), sync, file: None, last: found }
    }

    /// Whether the newest mark is older than this position.
    pub(super) fn is_behind(&self, segment: u32, length: u64) -> bool {
        (self.last.segment, self.last.length) != (segment, length)
    }

    /// Writes a mark. Without it, later damage may look like a crash, so a failure is only logged.
    pub(super) fn write(&mut self, segment: u32, length: u64, messages_count: u64) {
        let mark = Mark { count: self.last.count + 1, segment, length, messages_count };
        if let Err(error) = self.try_write(&mark) {
            tracing::warn!(path = %self.path.display(), %error, "mark of the log not written");
        }
        // Also after a failure: the next attempt follows further writes.
        self.last = mark;
    }

    fn try_write(&mut self, mark: &Mark) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
                if let Some(folder) = self.path.parent() {
                    segment::sync_folder(folder, self.sync)?;
                }
                self.file.insert(file)
            }
        };
        file.write_all_at(&mark.encode(), mark.count % 2 * SLOT_DISTANCE)?;
        if self.sync == SyncMode::Data { file.sync_data() } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_newest_intact_slot_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), MarkFile::Missing);
        let mut marker = Marker::new(folder.path(), SyncMode::None, Mark::default());
        marker.write(1, 100, 7);
        marker.write(2, 200, 8);
        let found = read(folder.path()).unwrap().mark();
        assert_eq!(found, Mark { count: 2, segment: 2, length: 200, messages_count: 8 });
        assert_eq!([1, 2, 3].map(|segment| found.committed_bytes(segment)), [u64::MAX, 200, 0]);
        let path = folder.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..44 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(read(folder.path()).unwrap().mark().segment, 1, "flip at {at}");
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(folder.path()).unwrap(), MarkFile::Damaged);
    }
}
