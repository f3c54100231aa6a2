//! What a reader of a document does, block by block.
//!
//! In blocks marked `console`, lines that begin with `$ ` are run one by one; the lines below a command must appear in its output, in that
//! order, and `...` matches anything. Blocks marked `sh` are run line by line. A block marked with a language and a file's name, such as
//! `json flow.json`, is written to that file, or with `+` before the name appended to it. A comment `<!-- console` holds commands that a
//! reader need not see. Other blocks are for people only.

/// What a reader of a document does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Runs a command; these lines must be in its output.
    Run { command: String, expected: Vec<String> },
    /// Writes a text to a file, or appends it.
    Write { file: String, text: String, end: bool },
}

/// The steps of a document.
pub(super) fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (mark, block) in blocks(document) {
        match mark.split_once(' ') {
            None if mark == "console" => steps.extend(commands(&block)),
            None if mark == "sh" => steps.extend(lines(&block)),
            Some((_, file)) => steps.push(written(file, &block)),
            None => {}
        }
    }
    steps
}

/// The marked blocks of a document, including those in comments, with their lines.
pub(super) fn blocks(document: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let hidden = line.strip_prefix("<!-- ").filter(|mark| *mark == "console");
        let Some(mark) = line.strip_prefix("```").or(hidden) else { continue };
        let end = if hidden.is_some() { "-->" } else { "```" };
        blocks.push((mark, lines.by_ref().take_while(|line| *line != end).collect()));
    }
    blocks
}

fn written(file: &str, block: &[&str]) -> Step {
    let (file, end) = file.strip_prefix('+').map_or((file, false), |file| (file, true));
    Step::Write { file: file.to_owned(), text: block.join("\n") + "\n", end }
}

/// The commands of a `console` block, each with its output.
fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Run { command: command.to_owned(), expected: Vec::new() }),
            // A backslash continues a command on the next line.
            (None, Some(Step::Run { command, expected })) if command.ends_with('\\') && expected.is_empty() => {
                command.push('\n');
                command.push_str(line);
            }
            (None, Some(Step::Run { expected, .. })) => expected.push((*line).to_owned()),
            (None, _) => panic!("a line of a console block is neither a command nor below one: {line}"),
        }
    }
    steps
}

/// The commands of a `sh` block.
fn lines(block: &[&str]) -> impl Iterator<Item = Step> {
    block.iter().filter(|line| !line.trim().is_empty()).map(|line| Step::Run { command: (*line).to_owned(), expected: Vec::new() })
}

/// The texts in backticks in a document's prose and tables, not in blocks.
pub(super) fn spans(document: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut inside = false;
    for line in document.lines() {
        let mark = line.starts_with("```");
        if mark {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    // Text in double backticks may contain single ones.
    let parts = prose.replace("``", "\0");
    parts.split('\0').step_by(2).flat_map(|part| part.split('`').skip(1).step_by(2)).map(|span| span.replace('\n', " ")).collect()
}

/// Whether a line matches the expected one, where `...` matches anything.
pub(super) fn matches(line: &str, expected: &str) -> bool {
    let mut rest = line;
    let parts: Vec<&str> = expected.split("...").map(str::trim).collect();
    for part in &parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn documents_are_parsed_as_readers_follow_them() {
    let document = "Text\n```json a.json\n{}\n```\n```console\n$ weir status\nhost ...\n\n$ weir send \\\n  a\n```\n```text\n$ rm -rf x\n```\n\
                    <!-- console\n$ true\n-->\n```toml +a.toml\n[b]\n```\n```sh\nweir up\n```\n";
    let run = |command: &str, expected: &[&str]| Step::Run {
        command: command.to_owned(),
        expected: expected.iter().map(|line| (*line).to_owned()).collect(),
    };
    let write = |file: &str, text: &str, end| Step::Write { file: file.to_owned(), text: text.to_owned(), end };
    assert_eq!(
        steps(document),
        [
            write("a.json", "{}\n", false),
            run("weir status", &["host ...", ""]),
            run("weir send \\\n  a", &[]),
            run("true", &[]),
            write("a.toml", "[b]\n", true),
            run("weir up", &[]),
        ]
    );
    assert!(matches("sent 12 messages", "sent ... messages"));
    assert!(!matches("sent 12 messages", "received ... messages"));
    assert_eq!(spans("`a b`, ``c `d` ``\n```sh\n`no`\n```\n`e\nf`"), ["a b", "e f"]);
}
