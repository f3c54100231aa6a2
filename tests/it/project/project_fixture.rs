//! A folder of projects, in which the binary is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weir_tests::guest_path;
use weir_tests::weir::binary;

/// A temporary folder.
pub(super) struct ProjectFixture(tempfile::TempDir);

/// The output of a command, and its exit code.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl ProjectFixture {
    pub(super) fn new() -> Self {
        ProjectFixture(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, creating its parent folders.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `weir` in this folder.
    pub(super) fn weir(&self, arguments: &[&str]) -> Ended {
        self.weir_in(arguments, &[])
    }

    /// The same with environment variables.
    pub(super) fn weir_in(&self, arguments: &[&str], environment: &[(&str, &Path)]) -> Ended {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WEIR_")) {
            command.env_remove(name);
        }
        // The crates of all projects are built once.
        command.env("CARGO_TARGET_DIR", shared_target()).env_remove("RUSTFLAGS");
        // Makes npm use its cache for what it has fetched before.
        command.env("npm_config_prefer_offline", "true").envs(environment.iter().copied());
        Ended::of(command.output().unwrap())
    }

    /// As [`ProjectFixture::weir`]; it must succeed.
    pub(super) fn must(&self, arguments: &[&str]) -> String {
        let ended = self.weir(arguments);
        assert_eq!(ended.code, Some(0), "weir {}\n{}{}", arguments.join(" "), ended.out, ended.err);
        ended.out
    }

    /// Creates a project, with this repository's versions of crates.
    pub(super) fn new_project(&self, language: &str, name: &str) {
        self.must(&["new", "--lang", language, name]);
        if language == "rust" {
            fs::copy(repository().join("Cargo.lock"), self.path(name).join("Cargo.lock")).unwrap();
        }
    }

    /// Runs a fixture against one of the tests' components, which needs no toolchain. Returns its `--json` output.
    pub(super) fn test_guest(&self, guest: &str, fixture: &str) -> (Value, Ended) {
        self.write("guest/tests/fixture.json", fixture);
        let component = guest_path(guest);
        let ended = self.weir(&["test", "guest", "--json", "--component", component.to_str().unwrap()]);
        let reports: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
        (reports[0].clone(), ended)
    }

    /// Replaces the processor of a project by that of `faults/`: what the author reads of each fault is in its fixture, with the line.
    #[track_caller]
    pub(super) fn passes_faults(&self, project: &str, language: &str, source: &str) {
        let faults = repository().join("tests/it/project/faults");
        let read = |file: &str| fs::read_to_string(faults.join(file)).unwrap();
        let (processor, fixture) = match language {
            "ts" => (in_typescript(&read("processor.js")), read("js.json").replace("src/processor.js", source)),
            _ => (read(Path::new(source).file_name().unwrap().to_str().unwrap()), read(&format!("{language}.json"))),
        };
        self.write(&format!("{project}/{source}"), processor);
        self.write(&format!("{project}/tests/example.json"), fixture);
        self.must(&["build", project]);
        let tested = self.weir(&["test", project]);
        assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
    }

    /// The same; returns what must be the same, or the differences.
    #[track_caller]
    pub(super) fn passes(&self, guest: &str, fixture: &str) {
        let (report, _) = self.test_guest(guest, fixture);
        assert_eq!(report["verdict"], "same", "{guest} {fixture}\n{report:#}");
    }
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Checks the exit code, and words on standard error.
    #[track_caller]
    pub(super) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in:\n{}", self.err);
        }
    }
}

/// A JavaScript source with types added, and with each line at its old number.
fn in_typescript(source: &str) -> String {
    let documented = source.split_once("/**").and_then(|(_, rest)| rest.split_once("*/")).unwrap().0;
    let types = "interface Doc {\n  do: string;\n\n  missing?: { length: number };\n}";
    let pairs = [
        (format!("/**{documented}*/"), types),
        ("function again() {".to_owned(), "function again(): number {"),
        ("processor(async".to_owned(), "processor<Doc>(async"),
        ("doc.missing.length".to_owned(), "doc.missing!.length"),
        ("globalThis.process".to_owned(), "(globalThis as any).process"),
        ("globalThis.Worker".to_owned(), "(globalThis as any).Worker"),
    ];
    pairs.iter().fold(source.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the source has no `{from}`");
        text.replace(from, to)
    })
}

pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A target folder for the projects of all tests, beside that of the tests.
pub(super) fn shared_target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("authors")
}
