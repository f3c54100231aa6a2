//! Words that must not come back in texts for people: the documents, the strings of the programs, and comments.

use super::{files, none};

/// A phrase that must not appear, in lower case, and the rule. `*` is any word.
const PHRASES: &[(&str, &str)] = &[
    ("amiss", "wrong; name the problem"),
    ("mend", "fix, correct"),
    ("anew", "again"),
    ("in vain", "without success; or say what happened, as in `after two unanswered pings`"),
    ("lest", "so that ... not"),
    ("midst", "middle, within"),
    ("somebody", "name it: a client, another process, a consumer"),
    ("nobody", "no client, no consumer"),
    ("everybody", "every client, all subscribers"),
    ("goes by", "uses, applies"),
    ("works by", "has applied"),
    ("go over to", "switch to"),
    ("goes over to", "switches to"),
    ("taken up", "accepted"),
    ("holds up", "blocks"),
    ("broke off", "aborted, crashed"),
    ("breaks off", "aborts"),
    ("broken off", "aborted"),
    ("in hand", "in flight"),
    ("in work", "in flight"),
    ("comes again", "is redelivered"),
    ("leaves at once", "shuts down immediately"),
    ("at the stop", "on shutdown"),
    ("is of no use", "has no effect"),
    ("stands for nothing", "is undefined"),
    ("tells", "shows, reports, states"),
    ("told", "reported, requested"),
    ("wants", "requires, expects"),
    ("asks for", "requests, requires"),
    ("stands for", "is, means; or name the value"),
    ("sent again", "resent"),
    ("given back", "requeued, returned"),
    ("speak to", "connect to"),
    ("speaks to", "connects to"),
    ("goes on", "continues, keeps running"),
    ("belongs to no", "does not belong to a"),
    ("all is well", "no problems found"),
    ("the other ones", "the others"),
    ("look whether", "check that"),
];

/// What may follow `is no` without meaning `is not a`.
const AFTER_IS_NO: &[&str] = &["longer", "more", "less", "different", "better", "worse", "need"];

/// What comes before `is no` in good English: `there is no input`.
const BEFORE_IS_NO: &[&str] = &["there", "here"];

const IS_NO: &str = "`is no X`: write `is not an X`, `has no X` or `no X`";
const WHO: &str = "`who` and `whoever` as a subject: name the thing";

/// Documents that are checked in addition to all of `docs/`.
const DOCUMENTS: &[&str] = &["README.md", "SECURITY.md", "CONTRIBUTING.md", "ARCHITECTURE.md"];

/// Documents that quote users.
const QUOTES: &[&str] = &["docs/letters/"];

/// A line that shows what a user typed.
const TYPED: &str = "nobody knows my name";

/// A word and the position at which it begins.
type Word = (usize, String);

fn words(text: &str) -> Vec<Word> {
    // A path is one word.
    let is_word = |c: char| c.is_alphanumeric() || "'-_/".contains(c);
    let mut found: Vec<Word> = Vec::new();
    let mut at_word = false;
    for (at, c) in text.char_indices() {
        match (is_word(c), at_word) {
            (true, false) => found.push((at, c.to_lowercase().collect())),
            (true, true) => found.last_mut().expect("a word has begun").1.extend(c.to_lowercase()),
            // A name in braces is an argument, not a word.
            (false, true) if c == '}' && found.last().is_some_and(|(begin, _)| text[..*begin].ends_with('{')) => {
                found.pop();
            }
            // Phrases do not extend beyond the end of a sentence or a quotation.
            (false, _) if ".,;:?!`\"()|".contains(c) => found.push((at, c.to_string())),
            (false, _) => {}
        }
        at_word = is_word(c);
    }
    found
}

/// Where a text breaks a rule, and which rule.
fn faults(text: &str) -> Vec<(usize, String)> {
    let words = words(text);
    let word = |at: usize| words.get(at).map_or("", |(_, word)| word.as_str());
    let mut found = Vec::new();
    for (at, (place, first)) in words.iter().enumerate() {
        for (phrase, instead) in PHRASES {
            if phrase.split(' ').enumerate().all(|(offset, part)| word(at + offset) == part) {
                found.push((*place, format!("`{phrase}`: {instead}")));
            }
        }
        let before = if at == 0 { "" } else { word(at - 1) };
        if first == "is" && word(at + 1) == "no" && !AFTER_IS_NO.contains(&word(at + 2)) && !BEFORE_IS_NO.contains(&before) {
            found.push((*place, IS_NO.to_owned()));
        }
        if first == "whoever" || (first == "who" && ["", ".", ":", ";", "|"].contains(&before)) {
            found.push((*place, WHO.to_owned()));
        }
    }
    found
}

/// The syntax of comments and strings of a language; `spanning` are the quotes whose strings may span lines.
struct Syntax {
    comment: &'static str,
    quotes: &'static [&'static str],
    spanning: &'static [&'static str],
}

const RUST: Syntax = Syntax { comment: "//", quotes: &["\""], spanning: &["\""] };
const PYTHON: Syntax = Syntax { comment: "#", quotes: &["\"\"\"", "'''", "\"", "'"], spanning: &["\"\"\"", "'''"] };
const JAVASCRIPT: Syntax = Syntax { comment: "//", quotes: &["`", "\"", "'"], spanning: &["`"] };

/// The strings of a source, each with the position at which it begins.
fn strings<'s>(text: &'s str, syntax: &Syntax) -> Vec<(usize, &'s str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let quote = syntax.quotes.iter().find(|quote| rest.starts_with(**quote));
        at += match quote {
            _ if rest.starts_with(syntax.comment) => rest.find('\n').unwrap_or(rest.len()),
            _ if is_char(rest, syntax) => rest.char_indices().nth(3).map_or(rest.len(), |(end, _)| end),
            Some(quote) => {
                let begin = at + quote.len();
                let end = end_of_string(&text[begin..], quote, syntax.spanning.contains(quote));
                found.push((begin, &text[begin..begin + end]));
                (quote.len() + end + quote.len()).min(rest.len())
            }
            None => first.len_utf8(),
        };
    }
    found
}

/// The lines of a source that are comments, each with the position at which it begins. Quoted code is blank.
fn comments(text: &str, syntax: &Syntax) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with(syntax.comment) {
            let mut is_code = false;
            let blank = |c: char| {
                is_code ^= c == '`';
                if is_code && c.is_ascii() { ' ' } else { c }
            };
            found.push((begin, line.chars().map(blank).collect()));
        }
        begin += line.len();
    }
    found
}

/// Whether a Rust character literal begins here that could be taken for a quote.
fn is_char(rest: &str, syntax: &Syntax) -> bool {
    syntax.quotes == RUST.quotes && rest.starts_with('\'') && rest.chars().nth(2) == Some('\'')
}

/// The length of the text that a quote encloses. Strings that may not span lines end with their line.
fn end_of_string(text: &str, quote: &str, spans_lines: bool) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|(at, c)| {
        let ends = !escaped && (text[*at..].starts_with(quote) || (*c == '\n' && !spans_lines));
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn syntax_of(path: &str) -> Option<&'static Syntax> {
    match path.rsplit_once('.')?.1 {
        "rs" => Some(&RUST),
        "py" => Some(&PYTHON),
        "js" | "ts" => Some(&JAVASCRIPT),
        _ => None,
    }
}

/// Whether a file contains only tests: their strings are not for users of Weir.
fn is_test(path: &str) -> bool {
    ["/tests/", "/test/", "/benches/"].iter().any(|folder| path.contains(folder)) || path.ends_with("tests.rs")
}

#[test]
fn documents_strings_and_comments_are_in_plain_english() {
    let mut findings = Vec::new();
    for (path, text) in files() {
        let is_document = (path.starts_with("docs/") && path.ends_with(".md")) || DOCUMENTS.contains(&path.as_str());
        if is_document && !QUOTES.iter().any(|folder| path.starts_with(folder)) {
            let text = text.replace(TYPED, "");
            findings.extend(faults(&text).into_iter().map(|(at, rule)| format!("{path}:{}: {rule}", line_of(&text, at))));
        }
        // This file names the words.
        if let Some(syntax) = syntax_of(&path).filter(|_| path != "tests/it/tidy/words.rs") {
            for (begin, comment) in comments(&text, syntax) {
                findings.extend(faults(&comment).into_iter().map(|(at, rule)| format!("{path}:{}: {rule}", line_of(&text, begin + at))));
            }
        }
        let is_program = ["host/", "sdk/", "plugins/", "demo/"].iter().any(|folder| path.starts_with(folder)) && !is_test(&path);
        if let (true, Some(syntax)) = (is_program, syntax_of(&path)) {
            let code = text.split_once("\nmod tests {").map_or(text.as_str(), |(code, _)| code);
            for (begin, string) in strings(code, syntax) {
                findings.extend(faults(string).into_iter().map(|(at, rule)| format!("{path}:{}: {rule}", line_of(&text, begin + at))));
            }
        }
    }
    none(findings, "texts for people are plain technical English (CONTRIBUTING.md, Docs and logs)");
}

#[test]
fn words_that_must_not_come_back_are_found() {
    for wrong in [
        "what is amiss",
        "Mend it, and look",
        "this is no size",
        "64 is no\nnumber",
        "it tells the time",
        "Who reads it has a queue",
        "done. Who asks waits",
        "a processor goes over to it",
        "nobody reads",
    ] {
        assert_eq!(faults(wrong).len(), 1, "{wrong}: {:?}", faults(wrong));
    }
    for right in
        ["there is no flow", "the queue is no longer read", "a recommendation", "the user who runs Weir", "the message is in. Work starts"]
    {
        assert!(faults(right).is_empty(), "{right}: {:?}", faults(right));
    }
}

#[test]
fn strings_are_told_from_comments_and_code() {
    let rust = "let c = '\"'; // \"amiss\"\nlet a = \"one \\\" two\"; let b = r#\"three\"#; let d: &'static str = \"four\";";
    assert_eq!(strings(rust, &RUST).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["one \\\" two", "three", "four"]);
    let python = "# 'amiss'\nx = 'a' + \"\"\"b\n'c'\"\"\"";
    assert_eq!(strings(python, &PYTHON).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["a", "b\n'c'"]);
    let javascript = "// it's amiss\nx = `a ${b}` + 'c'";
    assert_eq!(strings(javascript, &JAVASCRIPT).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), ["a ${b}", "c"]);
    assert_eq!(comments("let a = \"// x\";\n  // amiss `nobody`\nb", &RUST), [(16, "  // amiss        `\n".to_owned())]);
    assert_eq!(line_of("a\nb\nc", 4), 3);
}
