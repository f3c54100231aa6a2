//! Messages as JSON Lines: `{"id", "properties", "body"}`. A body that is not JSON is in `text` instead of `body`, and one that is not UTF-8 in
//! `base64`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use weir_pubsub::Message;

/// Checks that bytes are one JSON document.
pub(crate) fn check_json(bytes: &[u8]) -> Result<(), serde_json::Error> {
    // UTF-8 within strings would not be checked below.
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str::<IgnoredAny>(text).map(|_| ()),
        Err(error) => Err(serde::de::Error::custom(format!("it is not UTF-8 from byte {} on", error.valid_up_to()))),
    }
}

/// Writes a message with its line end.
pub(crate) fn write(message: &Message, out: &mut Vec<u8>) {
    out.push(b'{');
    write_fields(message, out);
}

/// Writes a message delivered under a lease, with its line end.
pub(crate) fn write_with_receipt(receipt: u64, message: &Message, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"receipt\":{receipt},").as_bytes());
    write_fields(message, out);
}

fn write_fields(message: &Message, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"id\":");
    match message.id {
        Some(id) => write_text(&id.to_string(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"properties\":{");
    for (at, (name, value)) in message.properties.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write_text(value, out);
    }
    out.extend_from_slice(b"},");
    write_body(&message.body, out);
    out.extend_from_slice(b"}\n");
}

fn write_body(body: &[u8], out: &mut Vec<u8>) {
    if check_json(body).is_ok() {
        out.extend_from_slice(b"\"body\":");
        // A line end in JSON can only be white space between tokens.
        out.extend(body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    } else if let Ok(text) = std::str::from_utf8(body) {
        out.extend_from_slice(b"\"text\":");
        write_text(text, out);
    } else {
        out.extend_from_slice(b"\"base64\":\"");
        out.extend_from_slice(STANDARD.encode(body).as_bytes());
        out.push(b'"');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text is written as JSON into memory without fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(body: &[u8]) -> String {
        let message = Message { id: Some(weir_pubsub::MessageId(1)), ..Message::new(body.to_vec()) }.with("a", "\"b\"");
        let mut out = Vec::new();
        write(&message, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_json_body_is_passed_unchanged_on_one_line() {
        assert_eq!(
            line(b"{\n \"x\": 1.00}"),
            "{\"id\":\"00000000000000000000000000000001\",\"properties\":{\"a\":\"\\\"b\\\"\"},\"body\":{  \"x\": 1.00}}\n"
        );
    }

    #[test]
    fn other_bodies_are_encoded_as_text_or_base64() {
        assert!(line(b"plain\ntext").ends_with(",\"text\":\"plain\\ntext\"}\n"));
        for (bytes, text) in [(&b"\xff"[..], "/w=="), (b"\xff\xfe", "//4="), (b"\xff\xfe\xfd", "//79"), (b"\xffabc", "/2FiYw==")] {
            assert!(line(bytes).ends_with(&format!(",\"base64\":\"{text}\"}}\n")), "{text}");
        }
    }
}
