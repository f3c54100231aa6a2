//! The parameters.

use serde::Deserialize;
use std::collections::HashSet;
use std::ops::RangeInclusive;

const COUNTS: RangeInclusive<usize> = 1..=100;
const WORDS: RangeInclusive<usize> = 1..=5;

/// Languages with stop words, but whose words are not separated by spaces and punctuation.
const UNSPACED: &[&str] = &["ja", "th", "zh"];

/// What happens to the text of a message.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// It is removed.
    Drop,
    /// It is kept beside its keywords.
    Keep,
}

/// How to rank.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Parameters")]
pub struct Settings {
    /// In lower case.
    pub(crate) stop_words: HashSet<String>,
    pub(crate) count: usize,
    pub(crate) words: usize,
    pub(crate) text: Text,
}

/// The raw parameters.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Parameters {
    language: String,
    count: usize,
    words: usize,
    #[serde(default)]
    stop_words: String,
    text: Text,
}

impl Settings {
    /// Up to `count` terms of up to `words` words, without the stop words of a language and those in the list. The text is dropped.
    ///
    /// # Errors
    /// A text that names the parameter, its value, and the permitted values.
    pub fn new(language: &str, count: usize, words: usize, stop_words: &str) -> Result<Self, String> {
        if !COUNTS.contains(&count) {
            return Err(format!("parameter `count` is {count}; it must be {} to {}", COUNTS.start(), COUNTS.end()));
        }
        if !WORDS.contains(&words) {
            return Err(format!("parameter `words` is {words}; it must be {} to {}", WORDS.start(), WORDS.end()));
        }
        let own = stop_words.split(',').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty());
        let stop_words = of_language(language)?.iter().map(|word| word.to_lowercase()).chain(own).collect();
        Ok(Self { stop_words, count, words, text: Text::Drop })
    }

    /// Whether a word in lower case has no meaning of its own; words of one or two letters never do.
    pub(crate) fn is_stop_word(&self, word: &str) -> bool {
        self.stop_words.contains(word) || word.chars().filter(|c| c.is_alphanumeric()).take(3).count() < 3
    }
}

impl TryFrom<Parameters> for Settings {
    type Error = String;

    fn try_from(parameters: Parameters) -> Result<Self, String> {
        let settings = Self::new(&parameters.language, parameters.count, parameters.words, &parameters.stop_words)?;
        Ok(Self { text: parameters.text, ..settings })
    }
}

fn of_language(code: &str) -> Result<&'static [&'static str], String> {
    if code == "none" {
        return Ok(&[]);
    }
    let is_known = |code: &&str| code.len() == 2 && !UNSPACED.contains(code);
    Some(code).filter(is_known).and_then(|code| stop_words::lookup(code)).ok_or_else(|| {
        let known: Vec<_> = stop_words::available_languages().iter().copied().filter(is_known).collect();
        let shown: String = code.chars().take(40).collect();
        format!("parameter `language` is `{shown}`; must be one of: {}, none", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_those_of_the_language_short_words_and_custom_ones() {
        let settings = Settings::new("en", 10, 3, "Weir, chunk").unwrap();
        for (word, is) in [("the", true), ("weir", true), ("chunk", true), ("ab", true), ("system", false), ("und", false)] {
            assert_eq!(settings.is_stop_word(word), is, "{word}");
        }
        assert!(Settings::new("de", 10, 3, "").unwrap().is_stop_word("und"));
        assert!(!Settings::new("none", 10, 3, "").unwrap().is_stop_word("the"));
    }

    #[test]
    fn faults_name_parameter_value_and_what_is_known() {
        let check = |language: &str, count, words, expected: &[&str]| {
            let fault = Settings::new(language, count, words, "").unwrap_err();
            for word in expected {
                assert!(fault.contains(word), "{fault}");
            }
        };
        check("english", 10, 3, &["`language` is `english`", "en, ", "de, ", "none"]);
        check("zh", 10, 3, &["`language` is `zh`"]);
        check("en", 0, 3, &["`count` is 0", "1 to 100"]);
        check("en", 10, 6, &["`words` is 6", "1 to 5"]);
    }
}
