//! Positions of messages in the log.

/// The position of a message in the log; segment 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) segment: u32,
    /// The offset of the message's length and checksum in the segment file.
    pub(crate) offset: u32,
    /// The number of bytes of the message after these.
    pub(crate) length: u32,
}

/// A message of one queue that is copied forward, with the deliveries that the log has recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
    pub(crate) deliveries: u32,
}
