//! Dead letters: messages that were given up, with the reason in properties `weir-dead-*`.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use weir_pubsub::{Limits, Message, Properties};

/// The prefix of a dead letter's own properties.
pub const DEAD_LETTER_PREFIX: &str = "weir-dead-";

const TOPIC: &str = "weir-dead-topic";
const SUBSCRIPTION: &str = "weir-dead-subscription";
const ERROR: &str = "weir-dead-error";
const REASON: &str = "weir-dead-reason";
const ATTEMPTS: &str = "weir-dead-attempts";
const DIGEST: &str = "weir-dead-digest";
const COMPONENT: &str = "weir-dead-component";
const TIME: &str = "weir-dead-time";
const CONFIG_VERSION: &str = "weir-dead-config-version";
/// Only set if the dead letter does not contain the whole message.
const CUT: &str = "weir-dead-cut";
const NAMES: [&str; 10] = [TOPIC, SUBSCRIPTION, ERROR, REASON, ATTEMPTS, DIGEST, COMPONENT, TIME, CONFIG_VERSION, CUT];

/// The maximum size of the reason in a dead letter, in bytes.
const MAX_REASON_BYTES: usize = 8 << 10;
/// The longest number, and the longest value of the truncation marker.
const MAX_VALUE_BYTES: usize = 20;
/// The maximum size of the note on a truncated body and its marker.
const CUTTING_BYTES: usize = 256;
/// The maximum size of the origin in a dead letter, in bytes: origins written by Weir are shorter.
const MAX_FROM_BYTES: usize = 1024;
/// The maximum size of the content type, in bytes: the limit of AMQP.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// Why a message was given up, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic that it was sent to.
    pub topic: String,
    /// The subscription that received it.
    pub subscription: String,
    /// The kind of the last error: `retry`, `reject`, `trap`, `timeout`, `too-large` or `deliveries`.
    pub error: String,
    /// The last error message, with the component's output to stderr; at most 8 KiB, the rest is in the log.
    pub reason: String,
    /// The number of attempts.
    pub attempts_count: u32,
    /// The digest of the component that gave it up; empty if it never reached one.
    pub digest: String,
    /// The deployment of that component, `NAME@VERSION`; empty in dead letters of earlier versions of Weir.
    pub component: String,
    /// When it was given up, in milliseconds since 1970; missing in dead letters of earlier versions of Weir.
    pub time_ms: Option<u64>,
    /// The version of the configuration that the host used then; missing in dead letters of earlier versions of Weir.
    pub config_version: Option<u64>,
    /// The parts of the message that were dropped when the dead letter was created.
    pub cut: Option<Cut>,
}

/// The parts of its message that a dead letter lost because both together would have exceeded the broker's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Properties of the message: all, or those with names that are too long.
    Properties,
    /// The end of its body.
    Body,
    /// Both.
    Both,
}

impl Cut {
    fn of(properties: bool, body: bool) -> Option<Self> {
        match (properties, body) {
            (true, true) => Some(Cut::Both),
            (true, false) => Some(Cut::Properties),
            (false, true) => Some(Cut::Body),
            (false, false) => None,
        }
    }

    /// Parses the marker of a dead letter. An unknown marker is treated as the worst case.
    fn of_marker(marker: &str) -> Self {
        match marker {
            "properties" => Cut::Properties,
            "body" => Cut::Body,
            _ => Cut::Both,
        }
    }

    /// Dead letters of earlier versions have no marker, but the reason begins with the loss.
    fn of_reason(reason: &str) -> Option<Self> {
        let (note, rest) = match reason.strip_prefix('[').and_then(|text| text.split_once("] ")) {
            Some((note, rest)) if note.contains(" properties of ") && note.ends_with(", were omitted") => (true, rest),
            _ => (false, reason),
        };
        let body = rest.strip_prefix("[the body of ").and_then(|text| text.split_once("] "));
        Cut::of(note, body.is_some_and(|(note, _)| note.ends_with(", was cut")))
    }

    fn marker(self) -> &'static str {
        match self {
            Cut::Properties => "properties",
            Cut::Body => "body",
            Cut::Both => "properties-body",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cut::Properties => "the properties of the message",
            Cut::Body => "the end of the body",
            Cut::Both => "the properties of the message and the end of the body",
        })
    }
}

impl DeadLetter {
    /// The message as a dead letter: it keeps its id, content and properties as far as a broker with these limits accepts them. Above them it loses
    /// first properties with names that are too long, then all of its own, then the body beyond the limit; the reason states this, with size and
    /// SHA-256 of the original, and a property marks the dead letter as incomplete. The origin and the content type, which only other programs make
    /// so long, are truncated.
    pub fn to_message(&self, message: &Message, limits: &Limits) -> Message {
        let mut dead_letter = DeadLetter::original(message);
        dead_letter.expires_in = None;
        let mut notes = String::new();
        shorten(&mut dead_letter.from, MAX_FROM_BYTES, "origin", &mut notes);
        shorten(&mut dead_letter.content_type, MAX_CONTENT_TYPE_BYTES, "content type", &mut notes);
        let is_long_named = |(name, _): &(&str, &str)| name.len() > limits.max_property_name_bytes;
        let (long_named, others): (Vec<_>, Vec<_>) = dead_letter.properties.iter().partition(is_long_named);
        let has_long_names = !long_named.is_empty();
        if has_long_names {
            notes.push_str(&note_on_properties(&long_named.into_iter().collect()));
            dead_letter.properties = others.into_iter().collect();
        }
        let is_above = self.size_bytes(&dead_letter) + properties_bytes(&dead_letter.properties) > limits.max_properties_bytes;
        if is_above {
            notes.push_str(&note_on_properties(&dead_letter.properties));
            dead_letter.properties = Properties::new();
        }
        let is_long = dead_letter.body.len() > limits.max_message_bytes;
        if is_long {
            notes.push_str(&note_on_body(&message.body));
            dead_letter.body.truncate(limits.max_message_bytes);
        }
        let reason_bytes = MAX_REASON_BYTES.saturating_sub(notes.len());
        dead_letter.properties.set(TOPIC, self.topic.clone());
        dead_letter.properties.set(SUBSCRIPTION, self.subscription.clone());
        dead_letter.properties.set(ERROR, self.error.clone());
        dead_letter.properties.set(REASON, format!("{notes}{}", cut(&self.reason, reason_bytes)));
        dead_letter.properties.set(ATTEMPTS, self.attempts_count.to_string());
        dead_letter.properties.set(DIGEST, self.digest.clone());
        dead_letter.properties.set(COMPONENT, self.component.clone());
        for (name, number) in [(TIME, self.time_ms), (CONFIG_VERSION, self.config_version)] {
            if let Some(number) = number {
                dead_letter.properties.set(name, number.to_string());
            }
        }
        if let Some(cut) = Cut::of(is_above || has_long_names, is_long) {
            dead_letter.properties.set(CUT, cut.marker());
        }
        dead_letter
    }

    /// Parses a dead letter; `None` if the message is not one. The rest of it is the [original](DeadLetter::original) message.
    pub fn of_message(message: &Message) -> Option<DeadLetter> {
        let text = |name: &str| message.properties.get(name).map(str::to_owned);
        let number = |name: &str| message.properties.get(name).and_then(|number| number.parse().ok());
        let (reason, time_ms) = (text(REASON).unwrap_or_default(), number(TIME));
        let cut = match message.properties.get(CUT) {
            Some(marker) => Some(Cut::of_marker(marker)),
            None if time_ms.is_none() => Cut::of_reason(&reason),
            None => None,
        };
        Some(DeadLetter {
            topic: text(TOPIC)?,
            subscription: text(SUBSCRIPTION)?,
            error: text(ERROR).unwrap_or_default(),
            reason,
            attempts_count: text(ATTEMPTS).and_then(|count| count.parse().ok()).unwrap_or(0),
            digest: text(DIGEST).unwrap_or_default(),
            component: text(COMPONENT).unwrap_or_default(),
            time_ms,
            config_version: number(CONFIG_VERSION),
            cut,
        })
    }

    /// A smaller version of a dead letter that the broker refuses for its size: its body is truncated by this many bytes plus the size of the note.
    /// `None` if nothing is left to truncate.
    pub fn shortened(dead_letter: &Message, excess_bytes: u64) -> Option<Message> {
        let own = DeadLetter::of_message(dead_letter).filter(|_| !dead_letter.body.is_empty())?;
        let excess_bytes = usize::try_from(excess_bytes).unwrap_or(usize::MAX);
        let left_bytes = dead_letter.body.len().saturating_sub(excess_bytes.saturating_add(CUTTING_BYTES));
        let mut shorter = dead_letter.clone();
        shorter.body.truncate(left_bytes);
        let properties_are_cut = match own.cut {
            // The reason already describes the original body.
            Some(Cut::Body | Cut::Both) => return Some(shorter),
            Some(Cut::Properties) => true,
            None => false,
        };
        let note = note_on_body(&dead_letter.body);
        let reason_bytes = MAX_REASON_BYTES.saturating_sub(note.len());
        shorter.properties.set(REASON, format!("{note}{}", cut(&own.reason, reason_bytes)));
        shorter.properties.set(CUT, if properties_are_cut { Cut::Both } else { Cut::Body }.marker());
        Some(shorter)
    }

    /// The message that became this dead letter: without the dead letter's own properties, everything else unchanged.
    pub fn original(dead_letter: &Message) -> Message {
        let is_own = |(name, _): &(&str, &str)| name.starts_with(DEAD_LETTER_PREFIX);
        match dead_letter.properties.iter().any(|property| is_own(&property)) {
            true => {
                Message { properties: dead_letter.properties.iter().filter(|property| !is_own(property)).collect(), ..dead_letter.clone() }
            }
            false => dead_letter.clone(),
        }
    }

    /// The maximum size of the dead letter's own properties, including everything that the broker counts.
    fn size_bytes(&self, message: &Message) -> usize {
        let names: usize = NAMES.iter().map(|name| name.len()).sum();
        let texts = [&self.topic, &self.subscription, &self.error, &self.digest, &self.component];
        let values = texts.iter().map(|text| text.len()).sum::<usize>() + MAX_REASON_BYTES + 4 * MAX_VALUE_BYTES;
        let fields = message.from.as_ref().map_or(0, |from| from.len()) + message.content_type.as_ref().map_or(0, |kind| kind.len());
        names + values + fields
    }
}

/// Truncates a string that is too long for a dead letter.
fn shorten(text: &mut Option<Arc<str>>, limit_bytes: usize, what: &str, notes: &mut String) {
    if let Some(long) = text.as_ref().filter(|text| text.len() > limit_bytes) {
        notes.push_str(&format!("[the {what} of {} bytes was cut] ", long.len()));
        *text = Some(cut(long, limit_bytes).into());
    }
}

fn properties_bytes(properties: &Properties) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn note_on_properties(properties: &Properties) -> String {
    let mut hash = Sha256::new();
    for (name, value) in properties.iter() {
        hash.update(name);
        hash.update([0]);
        hash.update(value);
        hash.update([0]);
    }
    let bytes = properties_bytes(properties);
    format!("[{} properties of {bytes} bytes, sha256 {}, were omitted] ", properties.len(), hex(&hash.finalize()))
}

fn note_on_body(body: &[u8]) -> String {
    format!("[the body of {} bytes, sha256 {}, was cut] ", body.len(), hex(&Sha256::digest(body)))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The beginning of a string, truncated between characters.
fn cut(text: &str, limit_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(limit_bytes)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            topic: "flow:tg:x".into(),
            subscription: "p--v--input".into(),
            error: "reject".into(),
            reason: "no text".into(),
            attempts_count: 2,
            digest: "sha256:ab".into(),
            component: "p@1.0.0".into(),
            time_ms: Some(1_795_000_000_000),
            config_version: Some(7),
            cut: None,
        }
    }

    #[test]
    fn a_dead_letter_is_the_message_plus_the_reason() {
        let message = Message::new("body").with("colour", "red");
        let sent = dead_letter().to_message(&message, &Limits::default());
        assert_eq!(DeadLetter::of_message(&sent), Some(dead_letter()));
        assert_eq!((&sent.body[..], sent.properties.get("colour")), (&b"body"[..], Some("red")));
        assert_eq!((DeadLetter::of_message(&message), DeadLetter::original(&sent)), (None, message));
    }

    #[test]
    fn a_dead_letter_of_a_dead_letter_has_only_its_own_reason() {
        let first = DeadLetter { cut: Some(Cut::Body), ..dead_letter() };
        let marked = first.to_message(&Message::new("body").with("colour", "red"), &Limits { max_message_bytes: 3, ..Limits::default() });
        let second = DeadLetter { time_ms: None, config_version: None, ..dead_letter() };
        let sent = second.to_message(&marked, &Limits::default());
        assert_eq!(DeadLetter::of_message(&sent), Some(second));
        assert_eq!(DeadLetter::original(&sent).properties.iter().collect::<Vec<_>>(), [("colour", "red")]);
    }

    #[test]
    fn a_dead_letter_too_large_for_its_queue_is_truncated_and_marked_once() {
        let sent = dead_letter().to_message(&Message::new(vec![b'x'; 4000]).with("colour", "red"), &Limits::default());
        let shorter = DeadLetter::shortened(&sent, 1000).unwrap();
        let reason = |dead_letter: &Message| DeadLetter::of_message(dead_letter).unwrap().reason;
        assert!(shorter.body.len() <= 3000 - (reason(&shorter).len() - "no text".len()), "{}", shorter.body.len());
        assert!(reason(&shorter).starts_with("[the body of 4000 bytes, sha256 ") && reason(&shorter).ends_with("was cut] no text"));
        assert_eq!(DeadLetter::of_message(&shorter).unwrap().cut, Some(Cut::Body));
        assert_eq!(shorter.properties.get("colour"), Some("red"));
        let again = DeadLetter::shortened(&shorter, u64::MAX).unwrap();
        assert_eq!((again.body.len(), reason(&again)), (0, reason(&shorter)));
        assert_eq!(DeadLetter::shortened(&again, 1), None, "nothing is left to be cut");
        let marked = Message::new("body").with("n".repeat(200), "v");
        let without_properties = dead_letter().to_message(&marked, &Limits::default());
        let both = DeadLetter::shortened(&without_properties, 1).unwrap();
        assert_eq!(DeadLetter::of_message(&both).unwrap().cut, Some(Cut::Both));
        assert_eq!(DeadLetter::shortened(&marked, 1), None, "it is no letter");
    }

    #[test]
    fn dead_letters_of_earlier_versions_are_read() {
        let old = |reason: &str| {
            let message = Message::new("b").with(TOPIC, "t").with(SUBSCRIPTION, "s").with(REASON, reason);
            DeadLetter::of_message(&message).unwrap()
        };
        assert_eq!((old("no page").component, old("no page").time_ms, old("no page").cut), (String::new(), None, None));
        let limits = Limits { max_message_bytes: 2, ..Limits::default() };
        let big = Message::new("0123");
        let reason = |message: &Message| dead_letter().to_message(message, &limits).properties.get(REASON).unwrap().to_owned();
        assert_eq!(old(&reason(&big)).cut, Some(Cut::Body));
        assert_eq!(old(&reason(&big.with("big", "x".repeat(30 << 10)))).cut, Some(Cut::Both));
        assert_eq!(old(&reason(&Message::new("0").with("big", "x".repeat(30 << 10)))).cut, Some(Cut::Properties));
    }

    #[test]
    fn a_dead_letter_above_the_limits_loses_properties_before_its_body() {
        let limits = Limits { max_message_bytes: 10, ..Limits::default() };
        let topic = "flow:tg:weir-dead-letters".parse().unwrap();
        let big = Message::new("0123456789abc").with("big", "x".repeat(30 << 10));
        let long = DeadLetter { reason: "é".repeat(20_000), ..dead_letter() };
        let sent = long.to_message(&big, &limits);
        limits.check(&topic, &sent).unwrap();
        let DeadLetter { reason, cut, .. } = DeadLetter::of_message(&sent).unwrap();
        assert_eq!(cut, Some(Cut::Both));
        assert_eq!((&sent.body[..], sent.properties.get("big")), (&b"0123456789"[..], None));
        assert!(reason.starts_with("[1 properties of 30723 bytes, sha256 "), "{reason}");
        assert!(reason.contains("[the body of 13 bytes, sha256 ") && reason.len() <= 8 << 10);
    }

    /// Other programs can send what Weir itself would refuse.
    #[test]
    fn a_dead_letter_of_a_message_above_other_limits_fits_too() {
        let (limits, topic) = (Limits::default(), "flow:tg:weir-dead-letters".parse().unwrap());
        let mut foreign = Message::new("body").with("n".repeat(255), "x").with("colour", "red");
        foreign.from = Some("f".repeat(100_000).into());
        foreign.content_type = Some("é".repeat(200).into());
        let sent = dead_letter().to_message(&foreign, &limits);
        limits.check(&topic, &sent).unwrap();
        let DeadLetter { reason, cut, .. } = DeadLetter::of_message(&sent).unwrap();
        assert_eq!((cut, sent.properties.get("colour"), &sent.body[..]), (Some(Cut::Properties), Some("red"), &b"body"[..]));
        assert!(sent.from.unwrap().len() == 1024 && sent.content_type.unwrap().len() <= 255);
        for note in
            ["[the origin of 100000 bytes was cut] ", "[the content type of 400 bytes was cut] ", "[1 properties of 256 bytes, sha256 "]
        {
            assert!(reason.contains(note), "{reason}");
        }
        foreign.properties = (0..2_000).map(|number| (format!("{number}{}", "n".repeat(200)), "v")).collect();
        limits.check(&topic, &dead_letter().to_message(&foreign, &limits)).unwrap();
    }
}
