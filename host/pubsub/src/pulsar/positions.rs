//! Positions of messages in a topic, as formatted by the admin API, and as cursors.

use crate::backend::Cursor;
use crate::error::{PubsubError, Result};

/// The number of bits of a cursor for the entry in its ledger.
const ENTRY_BITS: u32 = 24;

/// A position: an entry of a ledger. Ledger numbers of one topic increase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) ledger: u64,
    pub(super) entry: u64,
}

impl Position {
    /// Parses `LEDGER:ENTRY`; `Some(None)` is before the first entry of a ledger, written as entry -1.
    #[allow(clippy::option_option, reason = "a place that cannot be read, and one that holds nothing")]
    pub(super) fn parse(text: &str) -> Option<Option<Self>> {
        let (ledger, entry) = text.split_once(':')?;
        let ledger: i64 = ledger.parse().ok()?;
        let entry: i64 = entry.parse().ok()?;
        Some(match (u64::try_from(ledger), u64::try_from(entry)) {
            (Ok(ledger), Ok(entry)) => Some(Position { ledger, entry }),
            _ => None,
        })
    }

    /// The next position in the same ledger. At the end of the ledger, the next message is also after this position.
    pub(super) fn next(self) -> Self {
        Position { entry: self.entry.saturating_add(1), ..self }
    }

    /// The position of a cursor; `None` for a cursor of another kind.
    pub(super) fn of(cursor: &Cursor) -> Option<Self> {
        let number = cursor.as_position()?.checked_sub(1)?;
        Some(Position { ledger: number >> ENTRY_BITS, entry: number & ((1 << ENTRY_BITS) - 1) })
    }

    /// Its cursor.
    ///
    /// # Errors
    /// `Unsupported` if the broker's numbers are too large for a cursor.
    pub(super) fn cursor(self) -> Result<Cursor> {
        let fits = self.ledger < 1 << (64 - ENTRY_BITS) && self.entry < (1 << ENTRY_BITS) - 1;
        if !fits {
            return Err(PubsubError::Unsupported { what: "places in a topic with numbers of ledgers above 2^40" });
        }
        Ok(Cursor::position(((self.ledger << ENTRY_BITS) | self.entry) + 1))
    }
}

/// The acknowledged positions of a subscription after its first unacknowledged message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted(Vec<Range>);

/// A range from a position, inclusive unless `is_open`, to another one, inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    from: Option<Position>,
    is_open: bool,
    to: Position,
}

impl Deleted {
    /// Parses `[(LEDGER:ENTRY..LEDGER:ENTRY],[LEDGER:ENTRY..LEDGER:ENTRY]]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
        let mut ranges = Vec::new();
        let mut rest = inner;
        while let Some(begin) = rest.find(['(', '[']) {
            let is_open = rest[begin..].starts_with('(');
            let body = &rest[begin + 1..];
            let end = body.find([']', ')'])?;
            let (from, to) = body[..end].split_once("..")?;
            if let Some(to) = Position::parse(to.trim())? {
                ranges.push(Range { from: Position::parse(from.trim())?, is_open, to });
            }
            rest = &body[end + 1..];
        }
        Some(Deleted(ranges))
    }

    pub(super) fn holds(&self, position: Position) -> bool {
        self.0.iter().any(|Range { from, is_open, to }| {
            let is_behind = match from {
                Some(from) if *is_open => position > *from,
                Some(from) => position >= *from,
                // Begins before the first entry of the ledger in which it ends.
                None => position.ledger == to.ledger,
            };
            is_behind && position <= *to
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn position(ledger: u64, entry: u64) -> Position {
        Position { ledger, entry }
    }

    #[test]
    fn positions_are_parsed() {
        assert_eq!(Position::parse("12:3"), Some(Some(position(12, 3))));
        assert_eq!(Position::parse("12:-1"), Some(None));
        for wrong in ["", "12", "a:b", "12:"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cursors_have_the_order_of_their_positions() {
        let spots = [position(0, 0), position(0, 1), position(1, 0), position(7, 99), position(8, 0)];
        for pair in spots.windows(2) {
            assert!(pair[0].cursor().unwrap() < pair[1].cursor().unwrap());
        }
        for one in spots {
            assert_eq!(Position::of(&one.cursor().unwrap()), Some(one));
        }
        assert!(position(1 << 40, 0).cursor().is_err());
        assert!(position(0, 1 << 24).cursor().is_err());
    }

    #[test]
    fn acknowledged_ranges_are_parsed() {
        let deleted = Deleted::parse("[(5:0..5:2],[5:4..5:4],(6:-1..6:1]]").unwrap();
        let held: Vec<_> = (0..6).map(|entry| deleted.holds(position(5, entry))).collect();
        assert_eq!(held, [false, true, true, false, true, false]);
        assert!(deleted.holds(position(6, 0)) && deleted.holds(position(6, 1)) && !deleted.holds(position(6, 2)));
        assert_eq!(Deleted::parse("[]").unwrap(), Deleted::default());
        assert_eq!(Deleted::parse("x"), None);
    }
}
