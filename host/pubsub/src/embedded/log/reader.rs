//! Reading messages back by their place.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustix::fs::{Advice, fadvise};

use super::damage::{Damage, Keep, ReadFault, path_of};
use super::frame::{MESSAGE_HEADER_BYTES, decode_message};
use super::segment;
use crate::embedded::lock;
use crate::embedded::queue::Place;
use crate::message::Message;

/// Segments that are kept open to be read: readers are mostly in a few at a time.
const OPEN_FILES: usize = 16;
/// What is read at once: messages that lie together, which is how they are asked for, share it.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads segments, from any thread.
#[derive(Debug)]
pub(in crate::embedded) struct Reader {
    folder: PathBuf,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
    keep: Keep,
}

/// A piece of a segment that was read ahead.
#[derive(Clone, Debug, Default)]
pub(in crate::embedded) struct Chunk {
    segment: u32,
    start: usize,
    bytes: Bytes,
}

impl Chunk {
    /// A message of it, without copying; `None` if it is not in here, or not whole yet.
    fn message(&self, place: Place) -> Option<Message> {
        let start = (place.offset as usize).checked_sub(self.start)?;
        let end = start + MESSAGE_HEADER_BYTES + place.length as usize;
        if self.segment != place.segment || end > self.bytes.len() {
            return None;
        }
        decode_message(&self.bytes.slice(start..end))
    }
}

impl Reader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Reader { folder, open: Mutex::default(), keep: Keep::default() }
    }

    /// Reads a message, out of the chunk if it is there; else the chunk is read anew from that place on.
    ///
    /// # Errors
    /// [`ReadFault`]: what is damaged stays so, anything else may pass.
    pub(in crate::embedded) fn message(&self, place: Place, chunk: &mut Chunk) -> Result<Message, ReadFault> {
        // What was read ahead may have been written since, so that only what is read now tells damage.
        if let Some(message) = chunk.message(place) {
            return Ok(message);
        }
        let start = place.offset as usize;
        let wanted = MESSAGE_HEADER_BYTES + place.length as usize;
        let bytes = self.read(place.segment, start, wanted.max(CHUNK_BYTES)).map_err(|error| self.failed(place, error))?;
        *chunk = Chunk { segment: place.segment, start, bytes };
        chunk.message(place).map_or_else(|| self.once_more(place, wanted), Ok)
    }

    fn read(&self, segment: u32, start: usize, length: usize) -> io::Result<Bytes> {
        read_at(&*self.file(segment)?, start, length)
    }

    /// Reads a message that did not read past what the system has cached, so that only what the disk has counts as damage.
    fn once_more(&self, place: Place, wanted: usize) -> Result<Message, ReadFault> {
        let read = || {
            let file = File::open(path_of(&self.folder, place))?;
            // A hint that may go unheard: then what is cached is all that there is to be had.
            let _ = fadvise(&file, u64::from(place.offset), NonZeroU64::new(wanted as u64), Advice::DontNeed);
            read_at(&file, place.offset as usize, wanted)
        };
        let bytes = read().map_err(|error| self.failed(place, error))?;
        if bytes.len() < wanted {
            return Err(self.damaged(place, "the file ends before it", &bytes));
        }
        decode_message(&bytes).ok_or_else(|| self.damaged(place, "its checksum is wrong", &bytes))
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

    /// Closes a segment that goes.
    pub(in crate::embedded) fn forget(&self, segment: u32) {
        lock(&self.open).retain(|(number, _)| *number != segment);
    }

    fn failed(&self, place: Place, source: io::Error) -> ReadFault {
        if source.kind() == io::ErrorKind::NotFound {
            return self.damaged(place, "its file is missing", &Bytes::new());
        }
        ReadFault::Failed { path: path_of(&self.folder, place), offset: place.offset, source }
    }

    fn damaged(&self, place: Place, detail: &'static str, bytes: &Bytes) -> ReadFault {
        let kept_in = self.keep.keep(&self.folder, place, bytes);
        ReadFault::Damaged(Box::new(Damage { place, path: path_of(&self.folder, place), detail, kept_in }))
    }
}

/// Reads until the length or the end of the file.
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
