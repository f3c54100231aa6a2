//! Words, the separators between them, and the ends of sentences.

use unicode_segmentation::UnicodeSegmentation;

/// A part of a text, as far as it is relevant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A word, with the hyphens, apostrophes and dots inside of it.
    Word(&'a str),
    /// Something that no term extends across: a comma, a bracket, an address, a placeholder such as `[EMAIL]`.
    Break,
    /// The end of a sentence, a heading or an item.
    End,
}

/// The longest placeholder for something that was removed, in bytes.
const MAX_PLACEHOLDER: usize = 40;

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut reader = Reader { text, tokens: Vec::new(), word: None, lines: 0, skipped_to: 0, after_stop: false };
    for (at, segment) in text.split_word_bound_indices() {
        if at >= reader.skipped_to {
            reader.read(at, segment);
        }
    }
    reader.tokens
}

struct Reader<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    /// The beginning and end of the last word, if it is the last token.
    word: Option<(usize, usize)>,
    /// Line breaks since the last word or mark.
    lines: usize,
    /// The position up to which the text is skipped.
    skipped_to: usize,
    /// Whether the last mark was one that ends sentences, and was followed by white space.
    after_stop: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, at: usize, segment: &'a str) {
        let Some(first) = segment.chars().next() else { return };
        if first.is_whitespace() {
            self.lines += segment.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count().min(segment.chars().count())
                - usize::from(segment == "\r\n");
            return;
        }
        self.end_line(first);
        if first.is_alphanumeric() {
            self.read_word(at, segment);
        } else if !(first == '_' && segment.len() == 1) {
            self.read_mark(at, segment, first);
        }
    }

    /// An empty line ends a sentence, and so does a line break unless the next line looks like a continuation.
    fn end_line(&mut self, first: char) {
        let continues = first.is_alphanumeric() || "\"'(“‘„«[".contains(first);
        if self.lines > 1 || (self.lines == 1 && !continues) {
            self.push(Token::End);
            self.after_stop = false;
        }
        self.lines = 0;
    }

    fn read_word(&mut self, at: usize, segment: &'a str) {
        let is_joined = self.word.is_some_and(|(_, end)| end + 1 == at && self.text.as_bytes()[end] == b'-');
        if std::mem::take(&mut self.after_stop)
            && self.text[..at].ends_with(char::is_whitespace)
            && !segment.starts_with(char::is_lowercase)
        {
            self.push(Token::End);
        }
        let start = if is_joined { self.word.map_or(at, |(start, _)| start) } else { at };
        let end = at + segment.len();
        if is_joined {
            self.tokens.pop();
        }
        self.tokens.push(Token::Word(without_possessive(&self.text[start..end])));
        self.word = Some((start, end));
    }

    fn read_mark(&mut self, at: usize, segment: &'a str, first: char) {
        let rest = &self.text[at..];
        let follows_word = self.word.is_some_and(|(_, end)| end == at);
        if segment == "-" && follows_word && rest[1..].starts_with(char::is_alphanumeric) {
            return;
        }
        if first == '@' || (first == ':' && rest.starts_with("://")) {
            // The word before it is part of the address.
            if follows_word {
                self.tokens.pop();
            }
            self.skipped_to = at + rest.find(|c: char| c.is_whitespace() || "<>\"'`()[],".contains(c)).unwrap_or(rest.len());
        } else if let Some(length) = placeholder(rest) {
            self.skipped_to = at + length;
        }
        // An initial, as in `J. Doe`, does not end a sentence.
        let is_initial = || self.word.is_some_and(|(start, end)| self.text[start..end].chars().count() == 1);
        self.after_stop |= ".!?…。！？".contains(first) && !is_initial();
        self.push(Token::Break);
    }

    fn push(&mut self, token: Token<'a>) {
        self.word = None;
        let is_repeated = matches!((self.tokens.last(), token), (None | Some(Token::End), _) | (Some(Token::Break), Token::Break));
        if token == Token::End && self.tokens.last() == Some(&Token::Break) {
            self.tokens.pop();
        }
        if !is_repeated && self.tokens.last() != Some(&Token::End) {
            self.tokens.push(token);
        }
    }
}

/// The length of the placeholder at the beginning of a text: `[EMAIL]`, `[PRIVATE-KEY]`, `[CARD 1111]`.
fn placeholder(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('[')?;
    let end = inside.bytes().take(MAX_PLACEHOLDER).position(|byte| byte == b']')?;
    let (label, last) = inside[..end].split_once(' ').unwrap_or((&inside[..end], ""));
    let is_label = label.len() > 1 && label.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
    (is_label && last.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(end + 2)
}

fn without_possessive(word: &str) -> &str {
    ["'s", "’s", "'S"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words, with `|` for a break and `.` for an end.
    fn read(text: &str) -> String {
        let shown = tokens(text).into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Break => "|",
            Token::End => ".",
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sentences_end_where_readers_expect_it() {
        assert_eq!(read("One here. Two there! Three? Four"), "One here . Two there . Three . Four");
        assert_eq!(read("See e.g. the file, i.e. this one."), "See e.g | the file | i.e | this one |");
        assert_eq!(read("By J. Doe, at 3.5 of v1.2"), "By J | Doe | at 3.5 of v1.2");
        assert_eq!(read("A heading\n\nand text that\nis wrapped"), "A heading . and text that is wrapped");
        assert_eq!(read("- one item\n- another item\r\n- a third"), "one item . another item . a third");
        assert_eq!(read(" \n\n"), "");
    }

    #[test]
    fn words_keep_what_is_inside_of_them() {
        assert_eq!(read("Truly high-tech, state-of-the-art"), "Truly high-tech | state-of-the-art");
        assert_eq!(read("Ada's don't, the file.txt max_bytes"), "Ada don't | the file.txt max_bytes");
        assert_eq!(read("well - then -- and-"), "well | then | and |");
        assert_eq!(read("हिन्दी भाषा, Größe"), "हिन्दी भाषा | Größe");
    }

    #[test]
    fn addresses_and_placeholders_are_not_words() {
        assert_eq!(read("Write to ada@example.com or see https://example.com/a?b=c (now)."), "Write to | or see | now |");
        assert_eq!(read("Call [PHONE] or [CARD 1111], [PRIVATE-KEY] [EMAIL]s"), "Call | or | s");
        assert_eq!(read("An array a[I], a [Note] and [1]"), "An array a | I | a | Note | and | 1 |");
    }

    #[test]
    fn any_text_can_be_read() {
        for unit in
            ["[", "[A", "[A]", "@", "a@", "://", "a-", "-", ".", ". A", "\r\n", "\n", "\u{85}", "'s", "_", "a_", "\u{301}", "é", "👩‍👩‍👧"]
        {
            let text = unit.repeat(1000);
            let words = tokens(&text).iter().filter(|token| matches!(token, Token::Word(_))).count();
            assert!(words <= text.len());
        }
    }
}
