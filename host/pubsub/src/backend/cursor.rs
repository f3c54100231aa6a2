//! Cursors: how a broker identifies a message of a queue to callers that browse.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::message::MessageId;

/// Identifies a message of a queue to its broker. Only backends create and interpret cursors; callers store them, display them and pass them back,
/// also as strings.
///
/// Two kinds exist. A *position* stays valid when its message is gone, and positions of one queue are in the order of its messages. A broker without
/// such numbers uses the *id* of the message: such cursors can only be compared for equality ([`PartialOrd`] returns `None`), and the messages after
/// one can only be found while its message exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(CursorKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CursorKind {
    Position(u64),
    Id(MessageId),
}

impl Cursor {
    /// The position with this number; numbers start at 1 and rise in the order of the queue.
    pub(crate) fn position(number: u64) -> Self {
        Cursor(CursorKind::Position(number))
    }

    /// The message with this id, for brokers without positions.
    pub(crate) fn id(id: MessageId) -> Self {
        Cursor(CursorKind::Id(id))
    }

    /// The number of a position; `None` for a cursor by id, which a caller can pass although its broker never creates one.
    pub(crate) fn as_position(&self) -> Option<u64> {
        match self.0 {
            CursorKind::Position(number) => Some(number),
            CursorKind::Id(_) => None,
        }
    }

    /// Whether it is a position: ordered, and valid after its message is gone.
    pub fn is_position(&self) -> bool {
        matches!(self.0, CursorKind::Position(_))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.0, other.0) {
            (CursorKind::Position(one), CursorKind::Position(other)) => Some(one.cmp(&other)),
            (one, other) => (one == other).then_some(Ordering::Equal),
        }
    }
}

/// A decimal number, or 32 hexadecimal digits.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CursorKind::Position(number) => number.fmt(f),
            CursorKind::Id(id) => id.fmt(f),
        }
    }
}

/// The string is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is a number from 1, or 32 hexadecimal digits")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if let Ok(id) = text.parse() {
            return Ok(Cursor(CursorKind::Id(id)));
        }
        match text.parse() {
            Ok(number @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Cursor(CursorKind::Position(number))),
            _ => Err(NotACursor),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips_through_its_string() {
        for cursor in [Cursor::position(1), Cursor::position(u64::MAX), Cursor::id(MessageId(0)), Cursor::id(MessageId(u128::MAX))] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "0", "+1", "-1", "x", "1.0", "18446744073709551616"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NotACursor), "{wrong}");
        }
    }

    #[test]
    fn only_positions_are_ordered() {
        assert!(Cursor::position(9) < Cursor::position(10));
        let (one, other) = (Cursor::id(MessageId(1)), Cursor::id(MessageId(2)));
        assert_eq!((one.partial_cmp(&other), one.partial_cmp(&one)), (None, Some(Ordering::Equal)));
        assert_eq!(one.partial_cmp(&Cursor::position(1)), None);
        assert_eq!((one.as_position(), one.is_position()), (None, false));
    }
}
