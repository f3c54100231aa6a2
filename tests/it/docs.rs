//! The quick start, run as it is written.
//!
//! Blocks marked `console` are run line by line where a line begins with `$ `; the lines below a command must appear in its output, in that
//! order, `...` standing for anything. A block marked with a language and a file's name, such as `json flow.json`, is written to that
//! file. Blocks without such a mark are only read by people.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_tests::wait::within;
use weir_tests::weir::{Weir, binary};

/// What a reader of a document does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Run { command: String, expected: Vec<String> },
    Write { file: String, text: String },
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match mark.split_once(' ') {
            None if mark == "console" => steps.extend(commands(&block)),
            Some((_, file)) => steps.push(Step::Write { file: file.to_owned(), text: block.join("\n") + "\n" }),
            None => {}
        }
    }
    steps
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Run { command: command.to_owned(), expected: Vec::new() }),
            // A command goes on after a backslash.
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

/// Whether a line is as expected, where `...` stands for anything.
fn matches(line: &str, expected: &str) -> bool {
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

/// Fails unless the expected lines appear in the output, in their order.
fn check_output(command: &str, expected: &[String], output: &str) {
    let mut lines = output.lines();
    for wanted in expected.iter().filter(|line| !line.trim().is_empty() && line.trim() != "...") {
        assert!(lines.any(|line| matches(line, wanted)), "$ {command}\nsaid:\n{output}\nwithout: {wanted}");
    }
}

/// A folder like a checkout after a release build.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if !["target", ".git", "weir-data"].contains(&name.to_str().unwrap()) {
            symlink(entry.path(), folder.path().join(name)).unwrap();
        }
    }
    let place = |source: PathBuf, target: &str| {
        let target = folder.path().join("target").join(target);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        symlink(source, target).unwrap();
    };
    place(binary().to_owned(), "release/weir");
    place(weir_tests::guest_path("splitter"), "wasm32-wasip2/guest/weir_splitter.wasm");
    folder
}

/// Runs one command and checks what it prints. `weir up` goes on in the background, on a free port.
async fn run(folder: &Path, command: &str, expected: &[String]) -> Option<Weir> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if let [program, "up", ..] = words[..]
        && program.ends_with("weir")
    {
        assert_eq!(words.len(), 2, "the quick start begins as everybody does, with a plain `weir up`");
        let weir = Weir::up(&folder.join("weir-data")).await;
        check_output(command, &expected.iter().map(|line| line.replace(":8088", "...")).collect::<Vec<_>>(), &weir.said());
        return Some(weir);
    }
    let path = format!("{}:{}", folder.join("target/release").display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("PATH", path).env("NO_COLOR", "1").stdin(Stdio::null());
    for name in ["WEIR_DATA", "WEIR_GATEWAY", "WEIR_LISTEN", "WEIR_LOG"] {
        shell.env_remove(name);
    }
    let output = within(command, tokio::task::spawn_blocking(move || shell.output().unwrap())).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "$ {command}\n{}\n{said}", output.status);
    check_output(command, expected, &said);
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_start_does_what_it_says() {
    let folder = checkout();
    let document = fs::read_to_string(folder.path().join("docs/quick-start.md")).unwrap();
    let steps = steps(&document);
    let started = steps.iter().filter(|step| matches!(step, Step::Run { command, .. } if command.ends_with("weir up"))).count();
    assert_eq!(started, 1, "the quick start starts one Weir");
    let mut running = None;
    for step in steps {
        match step {
            Step::Write { file, text } => fs::write(folder.path().join(file), text).unwrap(),
            Step::Run { command, expected } => running = run(folder.path(), &command, &expected).await.or(running),
        }
    }
    assert_eq!(running.unwrap().end().await.code(), Some(0));
}

#[test]
fn documents_are_read_as_people_read_them() {
    let document =
        "Text\n```json a.json\n{}\n```\n```console\n$ weir status\nhost ...\n\n$ weir send \\\n  a\n```\n```sh\n$ rm -rf x\n```\n";
    let run = |command: &str, expected: &[&str]| Step::Run {
        command: command.to_owned(),
        expected: expected.iter().map(|line| (*line).to_owned()).collect(),
    };
    let write = Step::Write { file: "a.json".to_owned(), text: "{}\n".to_owned() };
    assert_eq!(steps(document), [write, run("weir status", &["host ...", ""]), run("weir send \\\n  a", &[])]);
    assert!(matches("sent 12 messages", "sent ... messages"));
    assert!(!matches("sent 12 messages", "received ... messages"));
}
