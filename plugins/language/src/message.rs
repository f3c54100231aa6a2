//! Input and output messages.

use crate::detect::{Detected, report};
use crate::settings::Settings;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

const TEXT: &str = "text";
const LANGUAGE: &str = "language";
const CONFIDENCE: &str = "language-confidence";

/// A JSON object, of which only the text is parsed; the other fields stay as they were written.
pub type Fields = BTreeMap<String, Box<RawValue>>;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The code of the language, or `und`.
    pub language: &'static str,
    /// From 0 to 1.
    pub confidence: f64,
}

/// The language of the text in a request.
///
/// # Errors
/// What is wrong with the field `text`: missing, or not a string.
pub fn answer(question: &Fields, settings: &Settings) -> Result<Answer, String> {
    reported(question, settings).map(|Detected { language, confidence }| Answer { language, confidence })
}

/// The same message with the language of its text, replacing any previous value.
///
/// # Errors
/// As [`answer`].
pub fn labelled(mut fields: Fields, settings: &Settings) -> Result<Fields, String> {
    let Detected { language, confidence } = reported(&fields, settings)?;
    let written = "texts and finite numbers can be written as JSON";
    fields.insert(LANGUAGE.to_owned(), to_raw_value(language).expect(written));
    fields.insert(CONFIDENCE.to_owned(), to_raw_value(&confidence).expect(written));
    Ok(fields)
}

fn reported(fields: &Fields, settings: &Settings) -> Result<Detected, String> {
    let text = fields.get(TEXT).ok_or_else(|| format!("field `{TEXT}` is missing: send the text to detect the language of"))?;
    let text: String = serde_json::from_str(text.get()).map_err(|_| format!("field `{TEXT}` is not text"))?;
    Ok(report(&text, settings))
}
