//! The parameters.

use crate::code::{codes, of_code};
use serde::Deserialize;
use std::fmt;
use whatlang::Detector;

/// How to detect languages.
#[derive(Deserialize)]
#[serde(try_from = "Parameters")]
pub struct Settings {
    pub(crate) detector: Detector,
    /// The codes that may be returned; `None` means all.
    list: Option<Vec<String>>,
    pub(crate) least_confidence: f64,
}

/// The raw parameters.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Parameters {
    languages: String,
    least_confidence: f64,
}

impl Settings {
    /// Detects the languages of a list, `all` or codes separated by commas, with at least this confidence.
    ///
    /// # Errors
    /// A text that names the parameter, its value, and the permitted values.
    pub fn new(languages: &str, least_confidence: f64) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&least_confidence) {
            return Err(format!("parameter `least-confidence` is {least_confidence}; it must be 0 to 1"));
        }
        if languages.trim() == "all" {
            return Ok(Self { detector: Detector::new(), list: None, least_confidence });
        }
        let mut list: Vec<String> = languages.split(',').map(|code| code.trim().to_lowercase()).filter(|code| !code.is_empty()).collect();
        list.sort();
        list.dedup();
        let known = list.iter().map(|code| of_code(code).ok_or_else(|| unknown(code))).collect::<Result<Vec<_>, _>>()?;
        if known.len() < 2 {
            return Err(format!(
                "parameter `languages` has {} language: give two or more, since a single one needs no detection, or `all`",
                known.len()
            ));
        }
        Ok(Self { detector: Detector::with_allowlist(known), list: Some(list), least_confidence })
    }

    /// Whether a language may be returned.
    pub(crate) fn includes(&self, code: &str) -> bool {
        self.list.as_ref().is_none_or(|list| list.iter().any(|listed| listed == code))
    }
}

fn unknown(code: &str) -> String {
    let shown: String = code.chars().take(40).flat_map(char::escape_debug).collect();
    format!("parameter `languages` contains `{shown}`; must be one of: {}, or `all`", codes().collect::<Vec<_>>().join(", "))
}

impl TryFrom<Parameters> for Settings {
    type Error = String;

    fn try_from(parameters: Parameters) -> Result<Self, String> {
        Self::new(&parameters.languages, parameters.least_confidence)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("list", &self.list).field("least_confidence", &self.least_confidence).finish_non_exhaustive()
    }
}
