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
//! what lives of the oldest segment is written again at the end, as Moved, until the segment is dead (`embedded/state/compaction.rs`). With the writes
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
pub(crate) use self::record::{Content, Record};
pub(crate) use self::recovered::{RecoveredMessage, RecoveredQueue};
pub use self::reserve::DiskReserve;
pub(crate) use self::segments::{Log, NewFrame, Opened};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
