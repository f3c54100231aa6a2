//! Reading messages by their position.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};

use super::block::{BLOCK_HEADER_BYTES, decode_head, decode_message, encode_block, is_whole};
use super::damage::{DamagedFiles, ReadFault, path_of};
use super::segment;
use crate::embedded::damage::Damage;
use crate::embedded::log_position::LogPosition;
use crate::lock::lock;
use crate::message::Message;

/// Maximum number of segments kept open for reading: readers mostly use a few at a time.
const OPEN_FILES: usize = 16;
/// Bytes read at once: messages that are read together are mostly adjacent, and share a chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes read for the beginning of a message: the maximum size of its properties, and as much again.
const HEAD_BYTES: usize = 64 << 10;

/// Reads segments, from any thread.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
    keep: DamagedFiles,
}

/// A part of a segment that was read ahead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    segment: u32,
    start: usize,
    bytes: Bytes,
}

impl Chunk {
    /// A message in the chunk; `None` if it is not in the chunk or incomplete. A body much smaller than the chunk is copied, since it would otherwise
    /// keep the chunk in memory.
    fn message(&self, position: LogPosition) -> Option<Message> {
        let mut message = decode_message(&self.block(position)?)?;
        if message.body.len() < self.bytes.len() / 2 {
            message.body = Bytes::copy_from_slice(&message.body);
        }
        Some(message)
    }

    fn block(&self, position: LogPosition) -> Option<Bytes> {
        let start = (position.offset as usize).checked_sub(self.start)?;
        let end = start + BLOCK_HEADER_BYTES + position.length as usize;
        if self.segment != position.segment || end > self.bytes.len() {
            return None;
        }
        Some(self.bytes.slice(start..end))
    }
}

impl Reader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Reader { folder, open: Mutex::default(), keep: DamagedFiles::default() }
    }

    /// Reads a message from the chunk if it contains it; otherwise reads the chunk again from that position.
    ///
    /// # Errors
    /// [`ReadFault`]: damage is permanent, other faults may pass. A message may have been moved since its position was looked up, and its old segment
    /// removed: a caller that can look it up again should try the new position first.
    pub(crate) fn message(&self, position: LogPosition, chunk: &mut Chunk) -> Result<Message, ReadFault> {
        // The bytes read ahead may have been overwritten since, so only a fresh read proves damage.
        if let Some(message) = chunk.message(position) {
            return Ok(message);
        }
        self.fill(position, chunk).map_err(|error| self.failed(position, error))?;
        chunk.message(position).map_or_else(|| self.reread_from_disk(position, BLOCK_HEADER_BYTES + position.length as usize), Ok)
    }

    /// Reads the block of a message: length, checksum and content.
    ///
    /// # Errors
    /// As [`Reader::message`].
    pub(crate) fn block(&self, position: LogPosition, chunk: &mut Chunk) -> Result<Bytes, ReadFault> {
        if let Some(block) = chunk.block(position).filter(|block| is_whole(block)) {
            return Ok(block);
        }
        self.fill(position, chunk).map_err(|error| self.failed(position, error))?;
        match chunk.block(position).filter(|block| is_whole(block)) {
            Some(block) => Ok(block),
            None => self.reread_from_disk(position, BLOCK_HEADER_BYTES + position.length as usize).map(|message| encode_block(&message)),
        }
    }

    fn fill(&self, position: LogPosition, chunk: &mut Chunk) -> io::Result<()> {
        let start = position.offset as usize;
        let wanted = BLOCK_HEADER_BYTES + position.length as usize;
        let bytes = self.read(position.segment, start, wanted.max(CHUNK_BYTES))?;
        *chunk = Chunk { segment: position.segment, start, bytes };
        Ok(())
    }

    /// Reads the beginning of a message, with at most `body_bytes` of its body, and the size of the whole body. The checksum is verified only for
    /// messages that are read completely anyway.
    ///
    /// # Errors
    /// As [`Reader::message`].
    pub(crate) fn head(&self, position: LogPosition, body_bytes: usize, chunk: &mut Chunk) -> Result<(Message, u64), ReadFault> {
        let (start, whole) = (position.offset as usize, BLOCK_HEADER_BYTES + position.length as usize);
        let wanted = whole.min(HEAD_BYTES.saturating_add(body_bytes));
        if wanted < whole {
            let bytes = self.read(position.segment, start, wanted).map_err(|error| self.failed(position, error))?;
            if let Some(head) = decode_head(&bytes, position.length, body_bytes) {
                return Ok(head);
            }
        }
        let mut message = self.message(position, chunk)?;
        let length = message.body.len();
        // Copied, so that it does not keep the chunk in memory.
        message.body = Bytes::copy_from_slice(&message.body[..length.min(body_bytes)]);
        Ok((message, length as u64))
    }

    fn read(&self, segment: u32, start: usize, length: usize) -> io::Result<Bytes> {
        read_at(&*self.file(segment)?, start, length)
    }

    /// Reads an unreadable message again, bypassing the page cache, so that only bytes on the disk count as damage.
    fn reread_from_disk(&self, position: LogPosition, wanted: usize) -> Result<Message, ReadFault> {
        let read = || {
            let file = File::open(path_of(&self.folder, position))?;
            // Only a hint: if it is ignored, the cached bytes are used.
            let _ = fadvise(&file, u64::from(position.offset), NonZeroU64::new(wanted as u64), Advice::DontNeed);
            read_at(&file, position.offset as usize, wanted)
        };
        let bytes = read().map_err(|error| self.failed(position, error))?;
        if bytes.len() < wanted {
            return Err(self.damaged(position, "the file ends before it", &bytes));
        }
        decode_message(&bytes).ok_or_else(|| self.damaged(position, "its checksum is wrong", &bytes))
    }

    fn file(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut open = lock(&self.open);
        if let Some((_, file)) = open.iter().find(|(number, _)| *number == segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(segment::path(&self.folder, segment))?);
        open.push_back((segment, file.clone()));
        if open.len() > OPEN_FILES {
            open.pop_front();
        }
        Ok(file)
    }

    /// Closes a segment that was removed.
    pub(crate) fn forget(&self, segment: u32) {
        lock(&self.open).retain(|(number, _)| *number != segment);
    }

    fn failed(&self, position: LogPosition, source: io::Error) -> ReadFault {
        // The next attempt opens the file again, since a stale handle never recovers.
        self.forget(position.segment);
        if source.kind() == io::ErrorKind::NotFound {
            return self.damaged(position, "its file is missing", &Bytes::new());
        }
        ReadFault::Failed { path: path_of(&self.folder, position), offset: position.offset, source }
    }

    fn damaged(&self, position: LogPosition, detail: &'static str, bytes: &Bytes) -> ReadFault {
        let kept_in = self.keep.keep(&self.folder, position, bytes);
        ReadFault::Damaged(Box::new(Damage { position, path: path_of(&self.folder, position), detail, kept_in }))
    }
}

/// Reads up to this length or the end of the file.
fn read_at(file: &File, start: usize, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], (start + filled) as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}
