//! The words of a text, and how much each of them says on its own.

use crate::settings::Settings;
use crate::tokens::{Token, tokens};
use std::collections::HashMap;

/// The form of a word at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// Begins with a capital letter, not at the beginning of a sentence.
    Capital,
    /// All letters are capital.
    Acronym,
    /// Numbers, and words of letters and digits or with several marks: not part of any term.
    Unfit,
}

/// A word, whatever its case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word {
    /// In lower case.
    pub(crate) text: String,
    pub(crate) is_stop_word: bool,
    /// Whether terms can contain it.
    pub(crate) is_fit: bool,
    /// How often it occurs.
    pub(crate) count: f64,
    /// How much it says: S(w) of the paper; lower is better. Meaningless for stop words.
    pub(crate) score: f64,
    acronyms: f64,
    capitals: f64,
    /// The sentences that contain it, each once, in order.
    sentences: Vec<u32>,
}

/// A parsed text.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    pub(crate) words: Vec<Word>,
    /// Runs of words that can contain terms: without breaks and unfit words, as indices of `words`.
    pub(crate) runs: Vec<Vec<u32>>,
    /// How often one word directly follows another in a run.
    pub(crate) pairs: HashMap<(u32, u32), u32>,
}

impl Vocabulary {
    pub(crate) fn read(text: &str, settings: &Settings) -> Self {
        let mut vocabulary = Self::default();
        let sentences_count = vocabulary.collect(text, settings);
        for run in &vocabulary.runs {
            for pair in run.windows(2) {
                *vocabulary.pairs.entry((pair[0], pair[1])).or_default() += 1;
            }
        }
        vocabulary.score(sentences_count);
        vocabulary
    }

    /// Reads the words and runs; returns how many sentences there are.
    fn collect(&mut self, text: &str, settings: &Settings) -> u32 {
        let mut indices = HashMap::new();
        let (mut sentence, mut is_first) = (0, true);
        let mut run = Vec::new();
        for token in tokens(text) {
            if let Token::Word(word) = token {
                let form = form(word, is_first);
                let index = self.add(&mut indices, word, form, sentence, settings);
                is_first = false;
                if form != Form::Unfit {
                    run.push(index);
                    continue;
                }
            }
            if !run.is_empty() {
                self.runs.push(std::mem::take(&mut run));
            }
            if token == Token::End {
                (sentence, is_first) = (sentence + 1, true);
            }
        }
        if !run.is_empty() {
            self.runs.push(run);
        }
        sentence + u32::from(!is_first)
    }

    fn add(&mut self, indices: &mut HashMap<String, u32>, word: &str, form: Form, sentence: u32, settings: &Settings) -> u32 {
        let text = word.to_lowercase();
        let index = *indices.entry(text).or_insert_with_key(|text| {
            self.words.push(Word {
                text: text.clone(),
                is_stop_word: settings.is_stop_word(text),
                is_fit: form != Form::Unfit,
                ..Word::default()
            });
            u32::try_from(self.words.len() - 1).expect("texts have fewer words than 2^32")
        });
        let word = &mut self.words[index as usize];
        word.count += 1.0;
        word.acronyms += f64::from(u8::from(form == Form::Acronym));
        word.capitals += f64::from(u8::from(form == Form::Capital));
        if word.sentences.last() != Some(&sentence) {
            word.sentences.push(sentence);
        }
        index
    }

    fn score(&mut self, sentences_count: u32) {
        let (mean, deviation) =
            mean_and_deviation(self.words.iter().filter(|word| word.is_fit && !word.is_stop_word).map(|word| word.count));
        let most = self.words.iter().map(|word| word.count).fold(0.0, f64::max);
        let relations = self.relations();
        for (word, (left, right)) in self.words.iter_mut().zip(relations) {
            let casing = word.acronyms.max(word.capitals) / (1.0 + word.count.ln());
            let position = (3.0 + median(&word.sentences)).ln().ln();
            let frequency = word.count / (mean + deviation).max(f64::MIN_POSITIVE);
            let relatedness = 1.0 + (left + right) * word.count / most;
            let spread = word.sentences.len() as f64 / f64::from(sentences_count.max(1));
            word.score = relatedness * position / (casing + frequency / relatedness + spread / relatedness);
        }
    }

    /// For each word: the number of different words before it divided by the number of words before it; and the same for those after it.
    /// The values are high for a stop word, low for a part of a name.
    fn relations(&self) -> Vec<(f64, f64)> {
        let mut counts = vec![[0.0_f64; 4]; self.words.len()];
        for ((left, right), count) in &self.pairs {
            counts[*right as usize][0] += 1.0;
            counts[*right as usize][1] += f64::from(*count);
            counts[*left as usize][2] += 1.0;
            counts[*left as usize][3] += f64::from(*count);
        }
        counts.into_iter().map(|[left, lefts, right, rights]| (left / lefts.max(1.0), right / rights.max(1.0))).collect()
    }
}

fn form(word: &str, is_first: bool) -> Form {
    // A bit for each ASCII punctuation mark in it.
    let marks = word.bytes().filter(u8::is_ascii_punctuation).fold(0_u128, |marks, mark| marks | 1 << mark);
    if marks.count_ones() > 1 || word.chars().any(char::is_numeric) {
        return Form::Unfit;
    }
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    match capitals {
        0 => Form::Plain,
        _ if capitals == word.chars().count() => Form::Acronym,
        1 if !is_first && word.starts_with(char::is_uppercase) => Form::Capital,
        _ => Form::Plain,
    }
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// The median of sorted numbers.
fn median(sorted: &[u32]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => f64::from(sorted[middle]),
        _ => f64::midpoint(f64::from(sorted[middle - 1]), f64::from(sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vocabulary {
        Vocabulary::read(text, &Settings::new("en", 10, 3, "").unwrap())
    }

    fn word<'a>(vocabulary: &'a Vocabulary, text: &str) -> &'a Word {
        vocabulary.words.iter().find(|word| word.text == text).unwrap()
    }

    #[test]
    fn forms_are_told_apart() {
        for (text, is_first, expected) in [
            ("word", false, Form::Plain),
            ("Word", false, Form::Capital),
            ("Word", true, Form::Plain),
            ("WORD", true, Form::Acronym),
            ("PayPal", false, Form::Plain),
            ("sha256", false, Form::Unfit),
            ("1.5", false, Form::Unfit),
            ("high-tech", false, Form::Plain),
            ("a_b.c", false, Form::Unfit),
            ("हिन्दी", false, Form::Plain),
        ] {
            assert_eq!(form(text, is_first), expected, "{text}");
        }
    }

    #[test]
    fn a_word_scores_as_the_paper_says() {
        // "log" is in sentences 0 and 1 of 2; words other than stop words: log 2, keeps 1, order 1, grows 1.
        let vocabulary = read("The log keeps order. A log grows.");
        let (mean, deviation) = mean_and_deviation([2.0, 1.0, 1.0, 1.0].into_iter());
        assert!((mean - 1.25).abs() < 1e-12 && (deviation - 0.1875_f64.sqrt()).abs() < 1e-12);
        // "the" and "a" before it, "keeps" and "grows" after it: different each time.
        let relatedness = 1.0 + (1.0 + 1.0) * 2.0 / 2.0;
        let expected = relatedness * 3.5_f64.ln().ln() / (0.0 + 2.0 / (mean + deviation) / relatedness + 1.0 / relatedness);
        assert!((word(&vocabulary, "log").score - expected).abs() < 1e-12);
    }

    #[test]
    fn runs_end_at_breaks_and_at_words_unfit_for_terms() {
        let vocabulary = read("one two, three 42 four. five");
        let runs: Vec<Vec<&str>> =
            vocabulary.runs.iter().map(|run| run.iter().map(|index| vocabulary.words[*index as usize].text.as_str()).collect()).collect();
        assert_eq!(runs, [vec!["one", "two"], vec!["three"], vec!["four"], vec!["five"]]);
    }
}
