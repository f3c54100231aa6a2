//! Where messages are in the log.

/// Where in the log a message is; segment 0 means nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) segment: u32,
    /// Of the message's length and checksum, in the file of the segment.
    pub(crate) offset: u32,
    /// Bytes of the message behind these.
    pub(crate) length: u32,
}

/// A message of one queue that is copied forward, with the deliveries that the log has recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) queue: u64,
    pub(crate) sequence: u64,
    pub(crate) deliveries: u32,
}
