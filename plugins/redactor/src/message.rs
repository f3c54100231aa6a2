//! Input and output messages: the same object.

use crate::redact::{Counts, redact};
use crate::settings::Settings;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// The field with the number of finds of each kind.
const REDACTED: &str = "redacted";

/// A JSON object, of which only the redacted fields are parsed; the others stay as they were written.
pub type Fields = BTreeMap<String, Box<RawValue>>;

/// Redacts the fields of a message and counts the finds in `redacted`, in addition to those of an earlier redactor.
///
/// # Errors
/// A text that names the field that is missing or not a string.
pub fn redact_message(mut fields: Fields, settings: &Settings) -> Result<Fields, String> {
    let mut counts = Counts::new();
    let mut known = 0;
    for name in &settings.fields {
        let Some(value) = fields.get_mut(name) else { continue };
        let text: String = serde_json::from_str(value.get())
            .map_err(|_| format!("field `{name}` is not text: send text, or remove the field from parameter `fields`"))?;
        *value = raw(&redact(&text, settings, &mut counts));
        known += 1;
    }
    if known == 0 {
        return Err(format!(
            "the message has none of the fields `{}`: add the field that contains the text to parameter `fields`",
            settings.fields.join("`, `")
        ));
    }
    let before = fields.get(REDACTED).map(|value| serde_json::from_str::<BTreeMap<String, u64>>(value.get())).transpose();
    let mut found = before
        .map_err(|_| format!("field `{REDACTED}` is not an object of counts: the redactor uses this field, rename yours"))?
        .unwrap_or_default();
    for (kind, count) in counts {
        let total = found.entry(kind.name().to_owned()).or_default();
        *total = total.saturating_add(count);
    }
    fields.insert(REDACTED.to_owned(), raw(&found));
    Ok(fields)
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("texts, and maps of texts to numbers, can be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Replacement;

    fn run(message: &str) -> Result<String, String> {
        let settings = Settings::new("all", "text,title", Replacement::Label, "us").unwrap();
        redact_message(serde_json::from_str(message).unwrap(), &settings).map(|fields| serde_json::to_string(&fields).unwrap())
    }

    #[test]
    fn other_fields_pass_as_they_were_written() {
        assert_eq!(
            run(r#"{"document": "a@example.com", "size": 1.50e3, "text": "a@example.com, b@example.com"}"#).unwrap(),
            r#"{"document":"a@example.com","redacted":{"email":2},"size":1.50e3,"text":"[EMAIL], [EMAIL]"}"#
        );
    }

    #[test]
    fn every_field_named_is_redacted_and_what_was_found_before_is_added() {
        assert_eq!(
            run(r#"{"redacted": {"email": 2, "x": 1}, "text": "Nothing.", "title": "To a@example.com"}"#).unwrap(),
            r#"{"redacted":{"email":3,"x":1},"text":"Nothing.","title":"To [EMAIL]"}"#
        );
        assert_eq!(run(r#"{"text": ""}"#).unwrap(), r#"{"redacted":{},"text":""}"#);
    }

    #[test]
    fn faults_name_the_field_and_the_fix() {
        let check = |message: &str, words: &[&str]| {
            let fault = run(message).unwrap_err();
            for word in words {
                assert!(fault.contains(word), "{fault}");
            }
        };
        check(r#"{"body": "a"}"#, &["`text`, `title`", "parameter `fields`"]);
        check(r#"{"text": 7}"#, &["field `text` is not text"]);
        check(r#"{"text": "", "redacted": true}"#, &["field `redacted`"]);
    }
}
