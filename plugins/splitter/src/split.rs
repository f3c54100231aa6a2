//! Decides where to cut: pure, and with the same result for the same text.
//!
//! The cuts are made by the crate text-splitter. It detects the boundaries of words and sentences, but prefers any line break to the end of
//! a sentence, which is wrong wherever lines are wrapped by hand. Therefore it gets a copy of the text, of the same length in bytes, that
//! contains line breaks only where they separate something; the pieces are then cut from the original.

use serde::Deserialize;
use std::ops::Range;
use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};

/// The maximum number of pieces of one text: more would only mean that the size is a mistake.
const MAX_PIECES: usize = 20_000;

const MIN_SIZE: usize = 16;
const MAX_SIZE: usize = 1_000_000;

/// U+0085, a line break of two bytes, the length of two `\n`, which text-splitter does not treat as one; but it ends a sentence.
const NEXT_LINE: [u8; 2] = [0xc2, 0x85];

/// Where pieces preferably end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Border {
    /// At the end of a sentence; the end of a paragraph is not preferred.
    Sentence,
    /// At the end of a paragraph, which is followed by an empty line; in longer paragraphs at the end of a sentence.
    Paragraph,
}

/// How to split.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Parameters")]
pub struct Settings {
    splitter: TextSplitter<Characters>,
    size: usize,
    border: Border,
}

/// The raw parameters.
#[derive(Deserialize)]
struct Parameters {
    size: usize,
    overlap: usize,
    border: Border,
}

/// Part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of characters of the text before it.
    pub start_chars: usize,
    /// Its bytes in the text.
    pub bytes: Range<usize>,
}

/// The text would be split into too many pieces.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyPieces;

impl std::fmt::Display for TooManyPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field `text` produces more than {MAX_PIECES} chunks: increase parameter `size`, or split the document first")
    }
}

impl std::error::Error for TooManyPieces {}

impl Settings {
    /// Pieces of at most `size` characters, each of which may repeat up to `overlap` characters of the previous one.
    ///
    /// # Errors
    /// A text that names the parameter that is out of range.
    pub fn new(size: usize, overlap: usize, border: Border) -> Result<Self, String> {
        if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
            return Err(format!("parameter `size` is {size}; it must be {MIN_SIZE} to {MAX_SIZE} characters"));
        }
        if overlap > size / 2 {
            return Err(format!("parameter `overlap` is {overlap}; it must be at most half of `size`, which is {size}"));
        }
        let config =
            ChunkConfig::new(size).with_sizer(Characters).with_overlap(overlap).map_err(|error| format!("parameter `overlap`: {error}"))?;
        Ok(Self { splitter: TextSplitter::new(config), size, border })
    }
}

impl TryFrom<Parameters> for Settings {
    type Error = String;

    fn try_from(Parameters { size, overlap, border }: Parameters) -> Result<Self, String> {
        Self::new(size, overlap, border)
    }
}

/// Splits a text. White space between and around pieces is not part of any; a text consisting only of white space is one empty piece.
///
/// # Errors
/// [`TooManyPieces`] for more than 20,000.
pub fn pieces(text: &str, settings: &Settings) -> Result<Vec<Piece>, TooManyPieces> {
    let shown = with_borders(text, settings.border);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let window = window(&shown[at..], settings.size);
        let (cut, next) = cut(window, at + window.len() == text.len(), settings);
        pieces.extend(cut.into_iter().map(|piece| at + piece.start..at + piece.end));
        if pieces.len() > MAX_PIECES {
            return Err(TooManyPieces);
        }
        at += next;
    }
    if pieces.is_empty() {
        pieces.push(0..0);
    }
    Ok(counted(text, pieces))
}

/// The beginning of a text, large enough for several pieces.
fn window(text: &str, size: usize) -> &str {
    text.char_indices().nth(8 * size).map_or(text, |(end, _)| &text[..end])
}

/// The pieces of a window that do not depend on the text after it, and where to continue. text-splitter examines the whole rest of a text
/// before each piece, which takes quadratic time; but what determines a piece is never further from its beginning than twice the size.
fn cut(window: &str, is_last: bool, settings: &Settings) -> (Vec<Range<usize>>, usize) {
    let mut pieces: Vec<_> = settings.splitter.chunk_indices(window).map(|(start, piece)| start..start + piece.len()).collect();
    if is_last {
        return (pieces, window.len());
    }
    let decided = window.char_indices().rev().nth(2 * settings.size).map_or(0, |(end, _)| end);
    let open = pieces.iter().position(|piece| piece.start > decided);
    let next = open.map_or(window.len(), |open| pieces[open].start);
    pieces.truncate(open.unwrap_or(pieces.len()));
    (pieces, next)
}

/// Counts the characters before each piece.
fn counted(text: &str, pieces: Vec<Range<usize>>) -> Vec<Piece> {
    let (mut at, mut start_chars) = (0, 0);
    let mut count = |bytes: Range<usize>| {
        start_chars += text[at..bytes.start].chars().count();
        at = bytes.start;
        Piece { start_chars, bytes }
    };
    pieces.into_iter().map(&mut count).collect()
}

/// The text with line breaks where they separate something, and nowhere else. Only ASCII is replaced, by the same number of bytes.
fn with_borders(text: &str, border: Border) -> String {
    let mut shown = text.as_bytes().to_vec();
    let mut at = 0;
    while let Some(start) = text.as_bytes()[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|found| at + found) {
        let blank = |byte: &u8| matches!(byte, b'\n' | b'\r' | b' ' | b'\t');
        let end = start + text.as_bytes()[start..].iter().take_while(|byte| blank(byte)).count();
        let gap = &mut shown[start..end];
        let count = |wanted| gap.iter().filter(|byte| **byte == wanted).count();
        let lines = count(b'\n').max(count(b'\r'));
        gap.fill(b' ');
        match (lines, border) {
            (2.., Border::Paragraph) => gap[..2].fill(b'\n'),
            (2.., Border::Sentence) => gap[..2].copy_from_slice(&NEXT_LINE),
            _ if continues(&text[end..]) => {}
            _ => gap[0] = b'\n',
        }
        at = end;
    }
    String::from_utf8(shown).expect("whole ASCII characters were replaced by whole characters")
}

/// Whether a line looks like a continuation of the previous line's sentence; lists, headings, tables and code do not.
fn continues(line: &str) -> bool {
    line.starts_with(|first: char| first.is_alphanumeric() || "\"'(“‘„«".contains(first))
}

/// Counts the characters of the original text: a substitute for two line breaks counts as two.
#[derive(Clone, Copy, Debug)]
struct Characters;

impl ChunkSizer for Characters {
    fn size(&self, chunk: &str) -> usize {
        chunk.chars().count() + chunk.as_bytes().windows(2).filter(|pair| *pair == NEXT_LINE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENCE: &str = include_str!("../fixtures/wrapped.txt");
    const LIST: &str = include_str!("../fixtures/list.md");
    const MIXED: &str = include_str!("../fixtures/mixed.txt");

    fn split(text: &str, size: usize, overlap: usize, border: Border) -> Vec<&str> {
        let settings = Settings::new(size, overlap, border).unwrap();
        pieces(text, &settings).unwrap().into_iter().map(|piece| &text[piece.bytes]).collect()
    }

    #[test]
    fn no_character_is_lost_no_chunk_is_too_large_and_offsets_are_correct() {
        for text in [LICENCE, LIST, MIXED] {
            for border in [Border::Sentence, Border::Paragraph] {
                for (size, overlap) in [(16, 0), (16, 8), (40, 10), (100, 50), (1000, 100)] {
                    let settings = Settings::new(size, overlap, border).unwrap();
                    let mut covered = 0;
                    for piece in pieces(text, &settings).unwrap() {
                        assert!(text[piece.bytes.clone()].chars().count() <= size, "{size} {overlap} {border:?}: {piece:?}");
                        assert_eq!(text[..piece.bytes.start].chars().count(), piece.start_chars);
                        let between = text.get(covered..piece.bytes.start).unwrap_or_default();
                        assert_eq!(between.trim(), "", "{size} {overlap} {border:?}: lost before {piece:?}");
                        covered = piece.bytes.end.max(covered);
                    }
                    assert_eq!(text[covered..].trim(), "");
                }
            }
        }
    }

    #[test]
    fn wrapped_lines_are_cut_where_sentences_end() {
        let text = "One sentence that\nis wrapped. Another one\nthat is wrapped, too. A third.";
        assert_eq!(
            split(text, 50, 0, Border::Paragraph),
            ["One sentence that\nis wrapped.", "Another one\nthat is wrapped, too. A third."]
        );
    }

    #[test]
    fn the_border_decides_between_sentence_and_paragraph() {
        let text = "First one. Second one.\n\nThird one is in another paragraph. Fourth one.";
        assert_eq!(split(text, 60, 0, Border::Paragraph), ["First one. Second one.", "Third one is in another paragraph. Fourth one."]);
        assert_eq!(split(text, 60, 0, Border::Sentence), ["First one. Second one.\n\nThird one is in another paragraph.", "Fourth one."]);
    }

    #[test]
    fn a_heading_is_not_part_of_the_sentence_below() {
        assert_eq!(split("A heading\n\nThe text below it.", 20, 0, Border::Sentence), ["A heading", "The text below it."]);
    }

    #[test]
    fn items_of_a_list_are_kept_whole() {
        let text = "- first of all\n- second of all\n- third of all";
        assert_eq!(split(text, 29, 0, Border::Sentence), ["- first of all", "- second of all", "- third of all"]);
    }

    #[test]
    fn the_end_of_a_chunk_is_repeated() {
        let text = "Alpha is here. Beta is here. Gamma is here. Delta is here.";
        assert_eq!(
            split(text, 30, 15, Border::Sentence),
            ["Alpha is here. Beta is here.", "Beta is here. Gamma is here.", "Gamma is here. Delta is here."]
        );
    }

    #[test]
    fn an_empty_text_is_one_empty_chunk() {
        for text in ["", "  \n\n\t"] {
            assert_eq!(split(text, 100, 10, Border::Paragraph), [""]);
        }
    }

    #[test]
    fn all_kinds_of_line_breaks_are_recognized() {
        for newline in ["\n", "\r\n", "\r"] {
            let text = format!("One is{newline}wrapped.{newline}{newline}Two follows.");
            assert_eq!(split(&text, 20, 0, Border::Paragraph).len(), 2, "{text:?}");
            assert_eq!(split(&text, 20, 0, Border::Sentence).len(), 2, "{text:?}");
        }
    }

    #[test]
    fn out_of_range_parameters_are_reported() {
        let check = |size, overlap, word: &str| {
            let fault = Settings::new(size, overlap, Border::Sentence).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        };
        check(0, 0, "`size` is 0");
        check(2_000_000, 0, "`size` is 2000000");
        check(100, 51, "`overlap` is 51");
    }

    #[test]
    fn a_window_changes_nothing() {
        for text in [LICENCE.repeat(3), LIST.repeat(3), MIXED.repeat(2), "word. ".repeat(200), format!("a{}b", "\n".repeat(500))] {
            for (size, overlap) in [(16, 0), (20, 10), (60, 20)] {
                for border in [Border::Sentence, Border::Paragraph] {
                    let settings = Settings::new(size, overlap, border).unwrap();
                    let (whole, _) = cut(&with_borders(&text, border), true, &settings);
                    let windows: Vec<_> = pieces(&text, &settings).unwrap().into_iter().map(|piece| piece.bytes).collect();
                    assert_eq!(windows, whole, "{size} {overlap} {border:?} {:?}", &text[..20.min(text.len())]);
                }
            }
        }
    }

    #[test]
    fn too_many_chunks_are_refused() {
        let settings = Settings::new(16, 0, Border::Sentence).unwrap();
        assert_eq!(pieces(&"word. ".repeat(70_000), &settings), Err(TooManyPieces));
    }
}
