//! Follows the instructions of a document: in a folder like a checkout after a release build, with `weir` in the `PATH`.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use weir_tests::wait::{DEADLINE, before, pass};
use weir_tests::weir::{Weir, binary};

use super::machines::Machines;
use super::read::{Step, matches, steps};

/// A reader may build a component from scratch.
const LONGEST: Duration = Duration::from_secs(300);
/// The variables that a document can set for the reader's commands.
const OURS: &[&str] = &[
    "WEIR_BROKER_PULSAR_ADMIN",
    "WEIR_BROKER_TOKEN_FILE",
    "WEIR_BROKER_URL",
    "WEIR_CA",
    "WEIR_DATA",
    "WEIR_GATEWAY",
    "WEIR_LISTEN",
    "WEIR_LOG",
    "WEIR_SETTINGS",
    "WEIR_TOKEN",
    "WEIR_TOPICSPACE",
    "CARGO_TARGET_DIR",
];
/// Variables that cargo sets for a test and that would mislead the reader's cargo.
const OF_CARGO: &[&str] = &["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_INCREMENTAL"];

/// A reader, and its state after what was read so far.
pub(super) struct Reader {
    /// The current folder.
    folder: PathBuf,
    /// The target folder of the reader's cargo, kept for the next run.
    built: Option<PathBuf>,
    weir: Option<Weir>,
    /// Set if the document is about several machines.
    machines: Option<Machines>,
    /// The variables exported for the commands that follow.
    exports: Vec<String>,
    /// Words of documents, and their replacements here.
    words: Vec<(&'static str, String)>,
    /// The initial folder.
    root: TempDir,
}

impl Reader {
    /// A reader in a checkout.
    pub(super) fn in_a_checkout() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().to_owned();
        for entry in fs::read_dir(repository()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if !["target", ".git", "weir-data"].contains(&name.to_str().unwrap()) {
                symlink(entry.path(), folder.join(name)).unwrap();
            }
        }
        place(binary(), &folder.join("target/release/weir"));
        for plugin in ["keywords", "language", "redactor", "router", "splitter"] {
            place(&weir_tests::guest_path(plugin), &folder.join(format!("target/wasm32-wasip2/guest/weir_{plugin}.wasm")));
        }
        Reader { folder, built: None, weir: None, machines: None, exports: Vec::new(), words: Vec::new(), root }
    }

    /// A reader beside a checkout named `weir`.
    pub(super) fn beside_a_checkout() -> Self {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Always the same folder, so that cargo reuses the previous build; outside of the workspace, or cargo would treat the reader's
        // crate as a part of it.
        let name = format!("weir-guide-{}", hash(built));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        let root = tempfile::Builder::new().prefix(path.file_name().unwrap()).rand_bytes(0).tempdir().unwrap();
        let folder = root.path().to_owned();
        symlink(repository(), folder.join("weir")).unwrap();
        place(binary(), &folder.join("target/release/weir"));
        let built = built.join("guide");
        fs::create_dir_all(&built).unwrap();
        Reader { folder, built: Some(built), weir: None, machines: None, exports: Vec::new(), words: Vec::new(), root }
    }

    /// A reader with nothing but `weir` in the `PATH`, and the tools of a language.
    pub(super) fn in_an_empty_folder() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("projects");
        fs::create_dir(&folder).unwrap();
        place(binary(), &root.path().join("target/release/weir"));
        Reader { folder, built: None, weir: None, machines: None, exports: Vec::new(), words: Vec::new(), root }
    }

    /// A reader in a checkout whose machines have the names used in documents: `rabbit.example`, `gateway.example`.
    pub(super) async fn with_machines() -> Self {
        Reader { machines: Some(Machines::new().await), ..Self::in_a_checkout() }
    }

    /// A reader in a checkout with the Pulsar that documents name `pulsar.example`, and a token of its administrator.
    pub(super) async fn with_pulsar() -> Self {
        let broker = weir_tests::pulsar::Broker::node().await;
        let token = broker.token_file(weir_tests::pulsar::Role::Admin).unwrap();
        let words = vec![("pulsar.example:6650", broker.address().to_owned()), ("pulsar.example:8080", broker.admin().address())];
        let reader = Reader { words, ..Self::in_a_checkout() };
        fs::copy(token, reader.folder.join("pulsar.token")).unwrap();
        reader
    }

    /// Follows a document to its end, where Weir is stopped. The document must have started one.
    pub(super) async fn follow(mut self, document: &str) {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        let text = self.machines.as_ref().map_or(text.clone(), |machines| machines.here(&text));
        let text = self.words.iter().fold(text, |text, (there, here)| text.replace(there, here));
        for step in steps(&text) {
            match step {
                Step::Write { file, text, end } => self.write(&file, &text, end),
                Step::Run { command, expected } => self.run(&command, &expected).await,
            }
        }
        assert!(self.weir.is_some() || self.machines.is_some(), "{document} starts no Weir");
        self.stop().await;
        if let Some(machines) = self.machines.take() {
            machines.end().await;
        }
    }

    async fn stop(&mut self) {
        if let Some(weir) = self.weir.take() {
            assert_eq!(weir.end().await.code(), Some(0), "weir is stopped with Ctrl-C");
        }
    }

    fn write(&self, file: &str, text: &str, end: bool) {
        let path = self.folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::options().create(true).write(true).append(end).truncate(!end).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    async fn run(&mut self, command: &str, expected: &[String]) {
        let words: Vec<&str> = command.split('#').next().unwrap().split_whitespace().collect();
        match words[..] {
            ["cd", folder] => self.enter(folder),
            ["./just", recipe, ..] => check_recipe(recipe),
            ["export", ..] => self.exports.push(command.to_owned()),
            ["rabbitmqctl", ..] => self.machines.as_ref().expect("the document is about several machines").ctl(command).await,
            ["weir", "run", ..] => {
                let shell = self.command(&format!("exec {command}"));
                let machines = self.machines.as_mut().expect("the document is about several machines");
                let said = machines.start(shell, command, |said| missing(expected, said).is_none()).await;
                check_output(command, expected, &said);
            }
            ["weir", "up", ref arguments @ ..] => {
                self.stop().await;
                let weir = Weir::up_from(&self.folder, arguments).await;
                let anywhere: Vec<String> = expected.iter().map(|line| line.replace(":8088", "...")).collect();
                // It answers a little before it reports so.
                let end = Instant::now() + DEADLINE;
                while missing(&anywhere, &weir.said()).is_some() && Instant::now() < end {
                    pass(Duration::from_millis(20)).await;
                }
                check_output(command, &anywhere, &weir.said());
                self.weir = Some(weir);
            }
            // If the output shows something still in progress, the command is repeated.
            ["weir", "status" | "queues", ..] | ["weir", "flow", "show", ..] => {
                let end = Instant::now() + DEADLINE;
                let mut said = self.say(command, expected).await;
                while missing(expected, &said).is_some() && Instant::now() < end {
                    said = self.say(command, expected).await;
                }
                check_output(command, expected, &said);
            }
            _ => check_output(command, expected, &self.say(command, expected).await),
        }
    }

    fn enter(&mut self, folder: &str) {
        self.folder.push(folder);
        if let Some(built) = &self.built {
            symlink(built, self.folder.join("target")).unwrap();
        }
    }

    /// Runs a command and returns its output.
    async fn say(&self, command: &str, expected: &[String]) -> String {
        let output = self.shell(command).await;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(is_as_expected(output.status, expected), "$ {command}\n{}\n{said}", output.status);
        said
    }

    async fn shell(&self, command: &str) -> Output {
        // Weir runs on a free port.
        let command = match &self.weir {
            Some(weir) => command.replace("http://127.0.0.1:8088", weir.url()),
            None => command.to_owned(),
        };
        let mut shell = self.command(&command);
        before(LONGEST, command.clone(), tokio::task::spawn_blocking(move || shell.output().unwrap())).await.unwrap()
    }

    /// A shell that runs a command in the reader's folder.
    fn command(&self, command: &str) -> Command {
        let path = format!("{}:{}", self.root.path().join("target/release").display(), std::env::var("PATH").unwrap());
        let lines: Vec<&str> = self.exports.iter().map(String::as_str).chain([command]).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", &lines.join("\n")]).current_dir(&self.folder).env("PATH", path).env("NO_COLOR", "1").stdin(Stdio::null());
        // Makes npm use its cache for what it has fetched before.
        shell.env("npm_config_prefer_offline", "true");
        for name in OURS.iter().chain(OF_CARGO) {
            shell.env_remove(name);
        }
        shell
    }
}

/// The root of the repository.
pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn place(source: &Path, target: &Path) {
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    symlink(source, target).unwrap();
}

/// A command succeeds, unless the document shows its error.
fn is_as_expected(status: ExitStatus, expected: &[String]) -> bool {
    status.success() != expected.iter().any(|line| line.starts_with("error: "))
}

/// What `./just` runs takes too long for a test within the tests; CI runs `./just test`, and `tests/it/demo.rs` the demo.
fn check_recipe(recipe: &str) {
    let justfile = fs::read_to_string(repository().join("Justfile")).unwrap();
    let is_it = |line: &str| line.strip_prefix(recipe).is_some_and(|rest| rest.starts_with([':', ' ']));
    assert!(justfile.lines().any(is_it), "the Justfile has no recipe {recipe}");
}

/// Fails unless the expected lines appear in the output, in their order.
fn check_output(command: &str, expected: &[String], output: &str) {
    if let Some(wanted) = missing(expected, output) {
        panic!("$ {command}\nsaid:\n{output}\nwithout: {wanted}");
    }
}

/// The first of the expected lines that does not appear in the output after the lines before it.
fn missing<'e>(expected: &'e [String], output: &str) -> Option<&'e String> {
    let mut lines = output.lines();
    let mut wanted = expected.iter().filter(|line| !line.trim().is_empty() && line.trim() != "...");
    wanted.find(|wanted| !lines.any(|line| matches(line, wanted)))
}
