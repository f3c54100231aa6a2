//! Detects the language of a text.

use crate::code::code;
use crate::settings::Settings;

/// The result if no language can be determined: the code of ISO 639 for that.
const UNDETERMINED: &str = "und";

/// The prefix of a text that is examined, in bytes: more of it does not increase certainty.
const EXAMINED_BYTES: usize = 32 << 10;

/// With fewer letters nothing is certain: a single Greek one in a line of digits is not Greek.
const MIN_LETTERS: usize = 10;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// The code of the language, or `und`.
    pub language: &'static str,
    /// From 0 to 1, to three digits.
    pub confidence: f64,
}

/// The language of a text, or `und` if none reaches the confidence that the settings require.
#[must_use]
pub fn report(text: &str, settings: &Settings) -> Detected {
    let text = &text[..text.floor_char_boundary(EXAMINED_BYTES)];
    let nothing = Detected { language: UNDETERMINED, confidence: 0.0 };
    if text.chars().filter(|c| c.is_alphabetic()).take(MIN_LETTERS).count() < MIN_LETTERS {
        return nothing;
    }
    let Some(found) = settings.detector.detect(text) else { return nothing };
    let confidence = (found.confidence() * 1000.0).floor() / 1000.0;
    // A script with a single language is detected without regard to the list.
    let language = code(found.lang()).filter(|code| settings.includes(code) && confidence >= settings.least_confidence);
    Detected { language: language.unwrap_or(UNDETERMINED), confidence }
}
