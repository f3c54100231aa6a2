//! Positions of dead letters on the wire: a cursor as a string, or as a number if it is one.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_pubsub::{BrowseStart, Cursor, NotACursor};

/// A position in a queue in the broker's format: a number, or a string of 32 hexadecimal digits on brokers without numbers. Treat it as
/// opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Position {
    /// One that is a number.
    Number(u64),
    /// Any, as a string.
    Text(String),
}

impl Position {
    /// Parses it.
    ///
    /// # Errors
    /// If it is not a position of any broker.
    pub fn cursor(&self) -> Result<Cursor, NotACursor> {
        self.to_string().parse()
    }

    /// Where to start in order to continue after it; 0 means the beginning.
    ///
    /// # Errors
    /// As [`Position::cursor`].
    pub fn behind(&self) -> Result<BrowseStart, NotACursor> {
        if self.to_string() == "0" { Ok(BrowseStart::Oldest) } else { Ok(BrowseStart::Behind(self.cursor()?)) }
    }

    /// Whether it is known to be after another.
    pub fn is_behind(&self, other: &Position) -> bool {
        matches!((self.cursor(), other.cursor()), (Ok(own), Ok(other)) if own > other)
    }
}

impl From<Cursor> for Position {
    fn from(cursor: Cursor) -> Self {
        let text = cursor.to_string();
        if cursor.is_position() { text.parse().map_or(Position::Text(text), Position::Number) } else { Position::Text(text) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Number(number) => number.fmt(f),
            Position::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn positions_are_numbers_or_strings_and_both_are_parsed() {
        let id = "00000000000000000000000000000abc";
        for (text, json) in [("7", "7".to_owned()), (id, format!("\"{id}\""))] {
            let cursor: Cursor = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&Position::from(cursor)).unwrap(), json);
            for read in [json, format!("\"{text}\"")] {
                assert_eq!(serde_json::from_str::<Position>(&read).unwrap().cursor(), Ok(cursor), "{read}");
            }
        }
        assert_eq!(Position::Number(0).behind(), Ok(BrowseStart::Oldest));
        assert!(Position::Number(0).cursor().is_err() && Position::Text("x".to_owned()).behind().is_err());
        assert!(Position::Number(10).is_behind(&Position::Text("9".to_owned())));
        assert!(!Position::Text(id.to_owned()).is_behind(&Position::Text("f".repeat(32))));
    }
}
