//! The selection of dead letters in a request. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use weir_pubsub::{Browsed, Cursor, MessageId};

use super::owners::Owner;
use crate::error::{GatewayError, Result};
use crate::protocol::{DeadLetterId, DeadLetterOrder};

/// Maximum number of ids in one request.
const MAX_IDS_COUNT: usize = 10_000;

/// The key of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLetterKey {
    /// By its position in the queue.
    Position(Cursor),
    /// By the message's id.
    Id(MessageId),
}

/// The selected dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// These.
    Named {
        /// By position.
        positions: HashSet<Cursor>,
        /// By the message's id, with whether it was found.
        ids: BTreeMap<MessageId, bool>,
    },
    /// Those of a flow, a processor, or a processor in a flow.
    Of {
        /// The flow.
        flow: Option<String>,
        /// The processor.
        processor: Option<String>,
    },
    /// All.
    All,
}

impl Selection {
    /// Reads what a request selects.
    pub(crate) fn read(order: &DeadLetterOrder) -> Result<Self> {
        let wrong = |problem: String| Err(GatewayError::BadField { field: "the selection".to_owned(), problem });
        let ids = order.ids.as_deref().unwrap_or_default();
        let is_of = order.flow.is_some() || order.processor.is_some();
        match (ids.is_empty(), is_of, order.all.unwrap_or_default()) {
            (true, false, false) => {
                wrong("no dead letter matches: give `ids` (positions or message ids), `flow`, `processor`, or `all`: true".to_owned())
            }
            (false, false, false) if ids.len() > MAX_IDS_COUNT => wrong(format!(
                "{} ids are too many: at most {MAX_IDS_COUNT} per request; use `flow` or `all`, or send several requests",
                ids.len()
            )),
            (false, false, false) => Self::named(ids),
            (true, true, false) => Ok(Selection::Of { flow: order.flow.clone(), processor: order.processor.clone() }),
            (true, false, true) => Ok(Selection::All),
            _ => wrong("`ids`, `flow` with `processor`, and `all` are mutually exclusive: give one of them".to_owned()),
        }
    }

    fn named(names: &[DeadLetterId]) -> Result<Self> {
        let (mut positions, mut ids) = (HashSet::new(), BTreeMap::new());
        for name in names {
            let wanted = match name {
                DeadLetterId::Position(position) => parse_key(&position.to_string())?,
                DeadLetterId::Text(text) => parse_key(text)?,
            };
            match wanted {
                DeadLetterKey::Position(position) => drop(positions.insert(position)),
                DeadLetterKey::Id(id) => drop(ids.insert(id, false)),
            }
        }
        Ok(Selection::Named { positions, ids })
    }

    /// Whether a dead letter is selected. Found ids are recorded.
    pub(crate) fn takes(&mut self, head: &Browsed, owner: Option<&Owner>) -> bool {
        match self {
            Selection::All => true,
            Selection::Of { flow, processor } => owner.is_some_and(|owner| {
                flow.as_ref().is_none_or(|flow| owner.flows.contains(flow))
                    && processor.as_ref().is_none_or(|processor| owner.processor == *processor)
            }),
            Selection::Named { positions, ids } => {
                let id = head.message.as_ref().ok().and_then(|message| message.id);
                let by_id = id.and_then(|id| ids.get_mut(&id)).map(|found| *found = true).is_some();
                positions.remove(&head.cursor) || by_id
            }
        }
    }

    /// The positions to examine instead of the whole queue, if nothing else is selected.
    pub(crate) fn only_positions(&self) -> Option<Vec<Cursor>> {
        match self {
            Selection::Named { positions, ids } if ids.is_empty() => Some(sorted(positions)),
            _ => None,
        }
    }

    /// The names that were not found.
    pub(crate) fn missing(&self) -> Vec<DeadLetterKey> {
        let Selection::Named { positions, ids } = self else { return Vec::new() };
        let ids = ids.iter().filter(|(_, found)| !**found).map(|(id, _)| DeadLetterKey::Id(*id));
        sorted(positions).into_iter().map(DeadLetterKey::Position).chain(ids).collect()
    }
}

/// In the order of the queue, if the broker's cursors are ordered.
fn sorted(positions: &HashSet<Cursor>) -> Vec<Cursor> {
    let mut sorted: Vec<Cursor> = positions.iter().copied().collect();
    sorted.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    sorted
}

/// An id has 32 hexadecimal digits, which no position has.
pub(crate) fn parse_key(dead_letter: &str) -> Result<DeadLetterKey> {
    if let Ok(id) = dead_letter.parse() {
        return Ok(DeadLetterKey::Id(id));
    }
    match dead_letter.parse() {
        Ok(position) => Ok(DeadLetterKey::Position(position)),
        Err(_) => Err(GatewayError::BadField {
            field: "the dead letter".to_owned(),
            problem: format!(
                "`{}` is neither a position, which is a number from 1, nor an id, which has 32 hexadecimal digits",
                weir_pubsub::shown(dead_letter)
            ),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Selection> {
        Selection::read(&serde_json::from_str(text).unwrap())
    }

    fn at(number: u64) -> Cursor {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn a_dead_letter_is_named_by_position_or_id() {
        let id = "00000000000000000000000000000abc";
        assert_eq!(parse_key("7").unwrap(), DeadLetterKey::Position(at(7)));
        assert_eq!(parse_key(&id.to_uppercase()).unwrap(), DeadLetterKey::Id(MessageId(0xabc)));
        for wrong in ["0", "-1", "x", "", "18446744073709551616", &id[1..].replace('0', "g")] {
            assert!(parse_key(wrong).unwrap_err().to_string().contains("neither a position"), "{wrong}");
        }
    }

    #[test]
    fn a_selection_names_dead_letters_a_flow_or_all() {
        let of = |flow: Option<&str>, processor: Option<&str>| Selection::Of {
            flow: flow.map(str::to_owned),
            processor: processor.map(str::to_owned),
        };
        assert_eq!(read(r#"{"flow": "f"}"#).unwrap(), of(Some("f"), None));
        assert_eq!(read(r#"{"processor": "p", "flow": "f", "ids": [], "all": false}"#).unwrap(), of(Some("f"), Some("p")));
        assert_eq!(read(r#"{"all": true, "ids": null}"#).unwrap(), Selection::All);
        let named = read(r#"{"ids": [7, "7", "00000000000000000000000000000abc"]}"#).unwrap();
        assert_eq!(
            (named.only_positions(), named.missing()),
            (None, vec![DeadLetterKey::Position(at(7)), DeadLetterKey::Id(MessageId(0xabc))])
        );
        assert_eq!(read(r#"{"ids": ["3", 1]}"#).unwrap().only_positions(), Some(vec![at(1), at(3)]));
    }

    #[test]
    fn empty_and_oversized_selections_are_refused_with_the_choices() {
        for wrong in ["{}", r#"{"all": false}"#, r#"{"ids": []}"#] {
            assert!(read(wrong).unwrap_err().to_string().contains("`ids` (positions or message ids), `flow`"), "{wrong}");
        }
        for wrong in [r#"{"all": true, "flow": "f"}"#, r#"{"ids": ["1"], "all": true}"#, r#"{"ids": ["1"], "processor": "p"}"#] {
            assert!(read(wrong).unwrap_err().to_string().contains("are mutually exclusive"), "{wrong}");
        }
        assert!(read(r#"{"ids": ["0"]}"#).unwrap_err().to_string().contains("neither a position"));
        let many = format!(r#"{{"ids": [{}1]}}"#, "1,".repeat(MAX_IDS_COUNT));
        assert!(read(&many).unwrap_err().to_string().contains("10001 ids are too many"));
    }
}
