//! Terms of several words, ranked.

use crate::settings::Settings;
use crate::similarity::is_alike;
use crate::vocabulary::Vocabulary;
use serde::Serialize;
use std::collections::HashMap;

/// The longest term considered, in bytes: longer ones are not words.
const MAX_TERM_BYTES: usize = 100;

/// How many of the best are compared with those already chosen, for each requested term.
const EXAMINED_PER_KEYWORD: usize = 20;

/// A term of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keyword {
    /// Its words in lower case, with a space between them.
    pub term: String,
    /// How much it says about the text, in four significant digits; lower is better.
    pub score: f64,
}

/// The first position of a term, and its number of occurrences.
struct Seen {
    first: usize,
    count: u32,
}

/// The key terms of a text, the best first; on a tie the one that comes first in the text.
#[must_use]
pub fn keywords(text: &str, settings: &Settings) -> Vec<Keyword> {
    let vocabulary = Vocabulary::read(text, settings);
    let mut ranked: Vec<_> = candidates(&vocabulary, settings)
        .into_iter()
        .map(|(words, seen)| (score(&vocabulary, words, seen.count), seen.first, words))
        .collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)).then(one.2.len().cmp(&other.2.len())));
    let mut chosen: Vec<Keyword> = Vec::new();
    for (score, _, words) in ranked.into_iter().take(EXAMINED_PER_KEYWORD * settings.count) {
        let term = written(&vocabulary, words);
        if chosen.len() == settings.count {
            break;
        }
        if term.len() <= MAX_TERM_BYTES && !chosen.iter().any(|keyword| is_alike(&keyword.term, &term)) {
            chosen.push(Keyword { term, score: rounded(score) });
        }
    }
    chosen
}

/// Sequences of up to this many words whose first and last word are not stop words.
fn candidates<'a>(vocabulary: &'a Vocabulary, settings: &Settings) -> HashMap<&'a [u32], Seen> {
    let mut candidates: HashMap<&[u32], Seen> = HashMap::new();
    let is_stop_word = |index: u32| vocabulary.words[index as usize].is_stop_word;
    let mut at = 0;
    for run in &vocabulary.runs {
        for (start, word) in run.iter().enumerate() {
            at += 1;
            if is_stop_word(*word) {
                continue;
            }
            for end in start + 1..=run.len().min(start + settings.words) {
                if !is_stop_word(run[end - 1]) {
                    candidates.entry(&run[start..end]).or_insert(Seen { first: at, count: 0 }).count += 1;
                }
            }
        }
    }
    candidates
}

/// S(kw) of the paper. A stop word inside a term is weighted by how closely it is tied to the words beside it.
fn score(vocabulary: &Vocabulary, words: &[u32], count: u32) -> f64 {
    let (mut product, mut sum) = (1.0, 0.0);
    let word = |at: usize| &vocabulary.words[words[at] as usize];
    let follows = |at: usize| f64::from(vocabulary.pairs.get(&(words[at], words[at + 1])).copied().unwrap_or(0));
    for at in 0..words.len() {
        if word(at).is_stop_word {
            let firmness = follows(at - 1) / word(at - 1).count * follows(at) / word(at + 1).count;
            product *= 2.0 - firmness;
            sum -= 1.0 - firmness;
        } else {
            product *= word(at).score;
            sum += word(at).score;
        }
    }
    // Two stop words in a term with small scores could make the divisor zero or negative.
    product / (f64::from(count) * (1.0 + sum).max(1e-9))
}

fn written(vocabulary: &Vocabulary, words: &[u32]) -> String {
    words.iter().map(|index| vocabulary.words[*index as usize].text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Four significant digits: more is noise, and differs between machines.
fn rounded(score: f64) -> f64 {
    format!("{score:.3e}").parse().unwrap_or(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIR: &str = include_str!("../fixtures/weir.txt");
    const EXPECTED: &str = include_str!("../fixtures/weir.keywords.txt");

    fn ranked(text: &str, count: usize, words: usize) -> Vec<Keyword> {
        keywords(text, &Settings::new("en", count, words, "").unwrap())
    }

    fn terms(text: &str, words: usize) -> Vec<String> {
        ranked(text, 100, words).into_iter().map(|keyword| keyword.term).collect()
    }

    #[test]
    fn a_text_has_the_terms_that_it_is_about() {
        let written: String = ranked(WEIR, 12, 3).into_iter().map(|keyword| format!("{:<10} {}\n", keyword.score, keyword.term)).collect();
        assert_eq!(written, EXPECTED);
    }

    #[test]
    fn terms_have_as_many_words_as_asked_and_no_stop_words_at_their_ends() {
        let text = "The queue of messages and the queue of messages";
        assert_eq!(terms(text, 1), ["queue", "messages"]);
        assert_eq!(terms(text, 3), ["queue of messages", "queue", "messages"]);
    }

    #[test]
    fn placeholders_and_addresses_are_not_terms() {
        let text = "[EMAIL] wrote [EMAIL] to [CARD 1111] about queues: ada@example.com, https://example.com/queues [PRIVATE-KEY]";
        assert_eq!(terms(text, 3), ["wrote", "queues"]);
    }

    #[test]
    fn the_best_of_similar_terms_is_kept() {
        let text = "Message processors handle. A message processor handles. Message processors win.";
        let terms = terms(text, 2);
        assert!(terms.contains(&"message processors".to_owned()) && !terms.contains(&"message processor".to_owned()), "{terms:?}");
    }

    #[test]
    fn the_same_text_has_the_same_terms() {
        let text = "alpha beta gamma delta. ".repeat(3) + "epsilon zeta eta theta";
        let first = ranked(&text, 100, 3);
        assert!(!first.is_empty() && (0..20).all(|_| ranked(&text, 100, 3) == first));
    }

    #[test]
    fn a_text_without_terms_has_no_keywords() {
        for text in ["", " \n", "the of and", "1 2 3", "[EMAIL]", "!?", "\u{301}"] {
            assert_eq!(ranked(text, 10, 3), [], "{text:?}");
        }
    }

    #[test]
    fn scores_are_finite_whatever_the_text() {
        for unit in ["A ", "a. ", "the queue ", "queue of of of of queue ", "QUEUE. ", "Queue\n\n", "q-u-e-u-e ", "ä. Ö "] {
            for words in [1, 5] {
                let keywords = ranked(&unit.repeat(200), 100, words);
                assert!(keywords.iter().all(|keyword| keyword.score.is_finite() && keyword.score >= 0.0), "{unit}: {keywords:?}");
            }
        }
    }
}
