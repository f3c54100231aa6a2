//! The log: the content of `flow` queues on disk. It handles records and positions, and does not depend on the state machine whose steps are written.
//!
//! # Format, version 2
//! A folder with `LOCK` (locked while a process has the folder open) and **segments** `NNNNNNNNNNNNNNNNNNNN.log`, numbered from 1 without gaps; old
//! ones are removed from the front. `MARK` states how far the log was whole. `*.torn` files keep torn tails that were cut off, and
//! `SEGMENT-OFFSET.damaged` files the bytes of damaged messages, both for manual inspection; no program reads them. `reserve` is a file of allocated
//! blocks without content, see below. All numbers are little-endian. A string is its length (u32) and its UTF-8 bytes. Version 1 has neither `MARK`
//! nor records above 6.
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
//! | u64 | salt, random: seeds the checksum of every frame, so that no message can contain a valid frame |
//! | u32 | reserved, 0 |
//! | u32 | CRC-32C of the 44 bytes before |
//!
//! **Frame**: one commit; it is valid as a whole or not at all.
//!
//! | frame | |
//! |---|---|
//! | 4 bytes | `WFRM` |
//! | u32 | length of the payload |
//! | u64 | number of the frame: consecutive over the whole log |
//! | u32 | CRC-32C of salt, length, number and payload |
//! | payload | records, concatenated |
//!
//! **Record**: one byte for its kind, then its fields.
//!
//! | kind | fields | meaning |
//! |---|---|---|
//! | 1 Defined | u32 queue, string topic, string subscription, u64 bound (all ones: none; top bit set: messages above it are refused; otherwise the oldest are dropped), u64 next sequence, u64 dropped | the queue exists; written again when its bound changes |
//! | 2 Deleted | u32 queue | the queue is deleted with its messages |
//! | 3 Put | u32 count, count times (u32 queue, u64 sequence), u32 size, message | a message enters these queues |
//! | 4 Removed | u32 queue, u64 sequence | the message was settled or removed |
//! | 5 Dropped | u32 queue, u64 sequence | the message was dropped because of the queue's bound |
//! | 6 Delivered | u32 queue, u64 first, u64 last | those of these sequences that are still in the queue were delivered once more |
//! | 7 Moved | u32 count, count times (u32 queue, u64 sequence, u32 deliveries), u32 size, message | the message is here from now on, with its deliveries so far; its first copy may be gone |
//! | 16 SetAside | u32 queue, u64 sequence | the message was damaged and left the queue |
//! | 17 Live | u32 queue, u64 count | the queue, defined before, has this many messages in earlier segments; only in the first frame of a segment; absent for 0 |
//!
//! A **message**, in its block, is u32 length, u32 CRC-32C of the bytes after it (so that it can be verified on its own), then: one byte of flags (1
//! id, 2 from, 4 content type); id, 16 bytes, big-endian; string from; string content type; u32 count of properties, each two strings; the rest is
//! the body. The size in a Put is the size of the message for limits and bounds.
//!
//! The first frame of a segment defines all queues that exist, with their next sequences and drop counters. A segment can therefore be unlinked as
//! soon as no queue has a message in it or in an earlier segment: all its other records are about messages that are gone. Messages that the oldest
//! segment counts as live in earlier ones, and that do not leave their queues later, are missing.
//!
//! **`MARK`**: two slots of 48 bytes, at 0 and 4096, written alternately; of the whole ones, the one with the higher count is valid. `WEIRMRK\0`, u64
//! count, u64 segment, u64 length of that segment, u64 messages in all queues, u32 CRC-32C of the 40 bytes before, u32 0. Everything up to there was
//! durable when the mark was written: on opening, with a new segment, after a second without commits, and on shutdown.
//!
//! Each segment states the version that it was begun in. A segment of an older version is read, but is not written to if there is space for a new
//! one: a program that supports only the older version refuses the folder because of its newest segment.
//!
//! # Copying forward
//! A single old message would keep all segments after it. So when the log takes more than three times the live bytes plus one segment, the live
//! messages of the oldest segment are written again at the end, as Moved, until the segment is dead (`embedded/state/compaction.rs`). Including
//! concurrent writes, the log stays below four times the live bytes plus two segments. A crash in between leaves both copies; the later one is valid.
//!
//! # Full disks
//! `reserve` holds allocated blocks. When a write finds no space, the definitions of all queues are written to that file, and it is renamed to be the
//! next segment: settling continues in blocks that no other program can take. The file is allocated again once the disk has space.
//!
//! # Writing
//! A frame is written with one call and flushed before it is confirmed. After a failed write, the segment is truncated to the last whole frame. After
//! a failed flush the content of the disk is unknown, so the broker fails permanently; the next opening reads what was stored.
//!
//! # Opening
//! A bad frame at the end of the last segment, followed by no valid frame and not covered by the mark, is an unfinished write: it is saved to another
//! file and cut off. In a committed frame, the checksums of the messages show whether only messages are damaged: then the frame is valid, and each
//! damaged message is set aside when it is reached. If other parts of a segment that others follow are unreadable or missing, reading continues after
//! them; the next first frame counts their messages (`gap.rs`), and their bytes are kept. If the newest segment is missing or unreadable before the
//! mark, the extent of the damage is unknown: opening fails and changes nothing.
//!
//! # Files
//! - `segments`: the open log, and frames that are added to it; `segment`, `frame`, `record`, `block`, `fields`: the format from the outside in.
//! - `recovery`, `gap`, `confined`, `recovered`: reading the log when it is opened, whole or damaged; `mark`: how far it must be whole.
//! - `reader`, `damage`: reading messages back, and keeping the bytes of damaged ones.
//! - `disk`, `reserve`, `write_errors`, `folder`: free space, reserved space, write failures, and the lock of the folder.
//! - `bare`: the log alone, for benchmarks.

mod bare;
mod block;
mod confined;
mod damage;
mod disk;
mod fields;
mod folder;
mod frame;
mod gap;
mod mark;
mod reader;
mod record;
mod recovered;
mod recovery;
mod reserve;
mod segment;
mod segments;
mod write_errors;

pub use self::bare::BareLog;
pub(crate) use self::damage::ReadFault;
pub use self::damage::damaged_files;
pub use self::disk::DiskUse;
pub use self::mark::lost_mark;
pub(crate) use self::reader::{Chunk, Reader};
pub(crate) use self::record::{Record, RecordContent};
pub(crate) use self::recovered::{RecoveredMessage, RecoveredQueue};
pub use self::reserve::DiskReserve;
pub(crate) use self::segments::{Log, NewFrame, Opened};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
