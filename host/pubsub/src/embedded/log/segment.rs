//! Segment files: names and headers.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::FRAME_HEADER_BYTES;
use crate::embedded::options::{OpenError, SyncMode};

pub(super) const HEADER_BYTES: usize = 48;
/// The length of a segment that was begun without queues and has no further frames.
pub(super) const MIN_BYTES: u64 = (HEADER_BYTES + FRAME_HEADER_BYTES) as u64;
/// The newest format that this program reads, and the one that it writes.
pub(super) const FORMAT_VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"WEIRLOG\0";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) number: u64,
    pub(super) first_frame: u64,
    pub(super) salt: u64,
}

/// The problem with a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Newer(u32),
    Damaged(&'static str),
}

impl Header {
    pub(super) fn new(number: u64, first_frame: u64, salt: u64) -> Self {
        Header { version: FORMAT_VERSION, number, first_frame, salt }
    }

    /// The seed of the checksums of its frames.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.salt.to_le_bytes())
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(file: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = file.first_chunk::<HEADER_BYTES>() else { return Err(BadHeader::Damaged("the header is cut short")) };
        if bytes[..8] != MAGIC {
            return Err(BadHeader::Damaged("it does not start with a segment header"));
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        // Checked before the checksum, whose position may differ in a later format.
        if version > FORMAT_VERSION {
            return Err(BadHeader::Newer(version));
        }
        let sum = u32::from_le_bytes([bytes[44], bytes[45], bytes[46], bytes[47]]);
        if sum != crc32c::crc32c(&bytes[..44]) || version == 0 {
            return Err(BadHeader::Damaged("the header's checksum is wrong"));
        }
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        Ok(Header { version, number: long(16), first_frame: long(24), salt: long(32) })
    }
}

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:020}.log"))
}

/// The numbers of all segments in a folder, in order; other files are ignored.
pub(super) fn list(folder: &Path) -> Result<Vec<u32>, OpenError> {
    let failed = |source| OpenError::Io { action: "list", path: folder.to_owned(), source };
    let mut numbers = Vec::new();
    for file in std::fs::read_dir(folder).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(".log")) else { continue };
        if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.extend(digits.parse::<u32>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Creates the file, which must not exist.
pub(super) fn create_new(folder: &Path, number: u32) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path(folder, number))
}

/// Opens a segment to continue writing.
pub(super) fn open_to_write(folder: &Path, number: u32) -> Result<File, OpenError> {
    let path = path(folder, number);
    File::options().read(true).write(true).open(&path).map_err(|source| OpenError::Io { action: "open", path, source })
}

/// Makes new and removed names durable.
pub(super) fn sync_folder(folder: &Path, sync: SyncMode) -> io::Result<()> {
    match sync {
        SyncMode::Data => File::open(folder)?.sync_all(),
        SyncMode::None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn headers_read_as_written_and_every_flip_shows() {
        let header = Header::new(7, 99, 0x0123_4567_89ab_cdef);
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&bytes[..47]).is_err());
    }

    #[test]
    fn a_newer_format_is_distinguished_from_damage() {
        let mut bytes = Header::new(1, 1, 1).encode();
        bytes[8] = 3;
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Newer(3)));
    }

    #[test]
    fn an_older_format_is_read() {
        let header = Header { version: 1, ..Header::new(3, 9, 5) };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
}
