//! Input and output messages.

use crate::candidates::keywords;
use crate::settings::{Settings, Text};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

const TEXT: &str = "text";
const KEYWORDS: &str = "keywords";

/// The longest text that is accepted, in bytes: a chunk, not a library.
const MAX_TEXT_BYTES: usize = 512 << 10;

/// A JSON object, of which only the text is parsed; the other fields stay as they were written.
pub type Fields = BTreeMap<String, Box<RawValue>>;

/// The same message with the keywords of its text, instead of the text unless that is kept.
///
/// # Errors
/// What is wrong with the field `text`: missing, not a string, or too long.
pub fn keywords_of(mut fields: Fields, settings: &Settings) -> Result<Fields, String> {
    let text = fields.get(TEXT).ok_or_else(|| format!("field `{TEXT}` is missing: send the text to extract keywords from"))?;
    let text: String = serde_json::from_str(text.get()).map_err(|_| format!("field `{TEXT}` is not text"))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "field `{TEXT}` has {} bytes; the limit is {MAX_TEXT_BYTES}: split the document first, for example with the plugin splitter",
            text.len()
        ));
    }
    let ranked = to_raw_value(&keywords(&text, settings)).expect("texts and finite numbers can be written as JSON");
    if settings.text == Text::Drop {
        fields.remove(TEXT);
    }
    fields.insert(KEYWORDS.to_owned(), ranked);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(message: &str) -> Result<String, String> {
        let settings = Settings::new("en", 1, 2, "").unwrap();
        keywords_of(serde_json::from_str(message).unwrap(), &settings).map(|fields| serde_json::to_string(&fields).unwrap())
    }

    #[test]
    fn keywords_replace_the_text() {
        let written = run(r#"{"document": "a", "index": 0, "text": "A broker keeps messages."}"#).unwrap();
        assert!(written.starts_with(r#"{"document":"a","index":0,"keywords":[{"term":""#), "{written}");
        assert_eq!(run(r#"{"id": 7.0, "text": ""}"#).unwrap(), r#"{"id":7.0,"keywords":[]}"#);
    }

    #[test]
    fn faults_name_the_field_and_the_fix() {
        assert!(run("{}").unwrap_err().contains("field `text` is missing"));
        assert!(run(r#"{"text": ["a"]}"#).unwrap_err().contains("field `text` is not text"));
        let fault = run(&format!(r#"{{"text": "{}"}}"#, "a ".repeat(300 << 10))).unwrap_err();
        assert!(fault.contains("614400 bytes") && fault.contains("splitter"), "{fault}");
    }
}
