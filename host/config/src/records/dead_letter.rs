//! Dead letters: messages that were given up, with the reason in properties `weir-dead-*`.

use sha2::{Digest as _, Sha256};
use weir_pubsub::{Limits, Message, Properties};

/// The name of the topic (class `flow`) of dead letters.
pub const DEAD_LETTERS_TOPIC_NAME: &str = "weir-dead-letters";
/// The one subscription that keeps them.
pub const DEAD_LETTERS_SUBSCRIPTION: &str = "weir";

const TOPIC: &str = "weir-dead-topic";
const SUBSCRIPTION: &str = "weir-dead-subscription";
const ERROR: &str = "weir-dead-error";
const REASON: &str = "weir-dead-reason";
const ATTEMPTS: &str = "weir-dead-attempts";
const DIGEST: &str = "weir-dead-digest";

/// How much of a reason a letter keeps, in bytes.
const MAX_REASON_BYTES: usize = 8 << 10;

/// Why a message was given up, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic that it was sent to.
    pub topic: String,
    /// The subscription that it was read by.
    pub subscription: String,
    /// The kind of the last error: `retry`, `reject`, `trap`, `timeout`, `too-large` or `deliveries`.
    pub error: String,
    /// The last error in words, with what the component wrote to stderr; at most 8 KiB, the rest is in the log.
    pub reason: String,
    /// How often it was tried.
    pub attempts_count: u32,
    /// The digest of the component that gave it up; empty where it never reached one.
    pub digest: String,
}

impl DeadLetter {
    /// The message as a letter: it keeps its id, content and properties as far as a broker of these limits takes them. Above them it loses
    /// first its own properties, then the body beyond the limit; the reason says so, with size and SHA-256 of what was cut.
    pub fn to_message(&self, message: &Message, limits: &Limits) -> Message {
        let mut letter = message.clone();
        letter.expires_in = None;
        let mut notes = String::new();
        if self.size_bytes(&letter) + properties_bytes(&message.properties) > limits.max_properties_bytes {
            notes.push_str(&note_on_properties(&message.properties));
            letter.properties = Properties::new();
        }
        if letter.body.len() > limits.max_message_bytes {
            notes.push_str(&note_on_body(&message.body));
            letter.body.truncate(limits.max_message_bytes);
        }
        let reason_bytes = MAX_REASON_BYTES.saturating_sub(notes.len());
        letter.properties.set(TOPIC, self.topic.clone());
        letter.properties.set(SUBSCRIPTION, self.subscription.clone());
        letter.properties.set(ERROR, self.error.clone());
        letter.properties.set(REASON, format!("{notes}{}", cut(&self.reason, reason_bytes)));
        letter.properties.set(ATTEMPTS, self.attempts_count.to_string());
        letter.properties.set(DIGEST, self.digest.clone());
        letter
    }

    /// Reads a letter; `None` if the message is none. What else it carries is the original message.
    pub fn of_message(message: &Message) -> Option<DeadLetter> {
        let text = |name: &str| message.properties.get(name).map(str::to_owned);
        Some(DeadLetter {
            topic: text(TOPIC)?,
            subscription: text(SUBSCRIPTION)?,
            error: text(ERROR).unwrap_or_default(),
            reason: text(REASON).unwrap_or_default(),
            attempts_count: text(ATTEMPTS).and_then(|count| count.parse().ok()).unwrap_or(0),
            digest: text(DIGEST).unwrap_or_default(),
        })
    }

    /// What the letter's own properties take at most, with all that the broker counts beside them.
    fn size_bytes(&self, message: &Message) -> usize {
        let names: usize = [TOPIC, SUBSCRIPTION, ERROR, REASON, ATTEMPTS, DIGEST].iter().map(|name| name.len()).sum();
        let values = self.topic.len() + self.subscription.len() + self.error.len() + MAX_REASON_BYTES + 10 + self.digest.len();
        let fields = message.from.as_ref().map_or(0, |from| from.len()) + message.content_type.as_ref().map_or(0, |kind| kind.len());
        names + values + fields
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
    format!("[{} properties of {bytes} bytes, sha256 {}, were left out] ", properties.len(), hex(&hash.finalize()))
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

/// The beginning of a text, cut between characters.
fn cut(text: &str, limit_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(limit_bytes)]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            topic: "flow:tg:x".into(),
            subscription: "p--v--input".into(),
            error: "reject".into(),
            reason: "no text".into(),
            attempts_count: 2,
            digest: "sha256:ab".into(),
        }
    }

    #[test]
    fn a_letter_is_the_message_with_the_reason_beside_it() {
        let message = Message::new("body").with("colour", "red");
        let sent = letter().to_message(&message, &Limits::default());
        assert_eq!(DeadLetter::of_message(&sent), Some(letter()));
        assert_eq!((&sent.body[..], sent.properties.get("colour")), (&b"body"[..], Some("red")));
        assert_eq!(DeadLetter::of_message(&message), None);
    }

    #[test]
    fn a_letter_over_the_limits_loses_first_the_properties_then_the_body() {
        let limits = Limits { max_message_bytes: 10, ..Limits::default() };
        let topic = "flow:tg:weir-dead-letters".parse().unwrap();
        let big = Message::new("0123456789abc").with("big", "x".repeat(30 << 10));
        let long = DeadLetter { reason: "é".repeat(20_000), ..letter() };
        let sent = long.to_message(&big, &limits);
        limits.check(&topic, &sent).unwrap();
        let reason = DeadLetter::of_message(&sent).unwrap().reason;
        assert_eq!((&sent.body[..], sent.properties.get("big")), (&b"0123456789"[..], None));
        assert!(reason.starts_with("[1 properties of 30723 bytes, sha256 "), "{reason}");
        assert!(reason.contains("[the body of 13 bytes, sha256 ") && reason.len() <= 8 << 10);
    }
}
