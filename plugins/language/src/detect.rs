//! Which language a text is in.

use crate::code::code;
use crate::settings::Settings;

/// What is told where no language can be told: the code of ISO 639 for that.
const UNDETERMINED: &str = "und";

/// How much of a text is looked at, from its beginning: more of it makes nothing surer.
const EXAMINED_BYTES: usize = 32 << 10;

/// Fewer letters tell nothing: a single Greek one in a line of digits is no Greek.
const MIN_LETTERS: usize = 10;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// The code of the language, or `und`.
    pub language: &'static str,
    /// From 0 to 1, to three digits.
    pub confidence: f64,
}

/// The language of a text, or `und` where nothing is as sure as the settings ask for.
#[must_use]
pub fn report(text: &str, settings: &Settings) -> Detected {
    let text = &text[..text.floor_char_boundary(EXAMINED_BYTES)];
    let nothing = Detected { language: UNDETERMINED, confidence: 0.0 };
    if text.chars().filter(|c| c.is_alphabetic()).take(MIN_LETTERS).count() < MIN_LETTERS {
        return nothing;
    }
    let Some(found) = settings.detector.detect(text) else { return nothing };
    let confidence = (found.confidence() * 1000.0).floor() / 1000.0;
    // A script of one language is told without a look at the list.
    let language = code(found.lang()).filter(|code| settings.includes(code) && confidence >= settings.least_confidence);
    Detected { language: language.unwrap_or(UNDETERMINED), confidence }
}
