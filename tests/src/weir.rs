//! The real binary `weir`, run as by a user: a data folder, a free port, signals.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use reqwest::Response;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::{DEADLINE, eventually};

/// The binary, which cargo builds beside that of the tests but not as its dependency.
///
/// # Panics
/// If it is missing or older than its sources.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let path = test.ancestors().nth(2).unwrap().join("weir");
        let stale = newer_source(&path);
        assert!(stale.is_none(), "{} {}: run `cargo build` before `cargo test`, or `./just test`", path.display(), stale.unwrap());
        path
    })
}

/// Why the binary does not match its sources, if it does not: cargo lists them beside it.
fn newer_source(binary: &Path) -> Option<String> {
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let Ok(built) = modified(binary) else { return Some("is missing".to_owned()) };
    let list = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources.trim_end());
    let newer = sources.split(' ').find(|source| modified(Path::new(source)).unwrap_or(SystemTime::UNIX_EPOCH) > built);
    newer.map(|source| format!("is older than {source}"))
}

/// A running `weir up`. Dropping it kills the process and, if the test failed, prints its output.
#[derive(Debug)]
pub struct Weir {
    data: PathBuf,
    log: PathBuf,
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Weir {
    /// Starts `weir up` on a data folder and waits until its gateway answers.
    ///
    /// # Panics
    /// If it ends or does not answer by the deadline; its output is then printed.
    pub async fn up(data: &Path) -> Self {
        Self::up_with(data, &[]).await
    }

    /// As [`Weir::up`] with further arguments, for example `--grace 1s`.
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_with(data: &Path, arguments: &[&str]) -> Self {
        Self::up_in(data, arguments, &[]).await
    }

    /// As [`Weir::up_with`], run in a folder to which paths are relative, on the data folder `weir-data` in it.
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_from(folder: &Path, arguments: &[&str]) -> Self {
        let data = folder.join("weir-data");
        let mut command = Command::new(binary());
        clean(&mut command).current_dir(folder).args(["up", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::start(&data, command).await
    }

    /// As [`Weir::up_with`] with environment variables, for example `WEIR_LOG`.
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_in(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        clean(&mut command).arg("--data").arg(data).args(["up", "--listen", "127.0.0.1:0"]).args(arguments);
        command.envs(environment.iter().copied());
        Self::start(data, command).await
    }

    /// As [`Weir::up`] on a disk that may be full: its output goes to a new file elsewhere, from which its address is read, since it may
    /// not be recorded in the data folder.
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_logging_to(data: &Path, log: &Path) -> Self {
        let _ = fs::remove_file(log);
        let mut command = Command::new(binary());
        clean(&mut command).arg("--data").arg(data).args(["up", "--listen", "127.0.0.1:0"]);
        let output = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut weir = Self::spawn(data, log.to_owned(), command);
        weir.url = eventually(DEADLINE, "weir up to print its address", || {
            let ended = weir.child.try_wait().unwrap();
            assert!(ended.is_none(), "weir up ended: {}\n{}", ended.unwrap(), weir.said());
            let said = weir.said();
            let line = said.lines().find_map(|line| line.split_once(" is up at "));
            let url = line.map(|(_, url)| url.to_owned());
            async move { url }
        })
        .await;
        weir.answers().await;
        weir
    }

    /// As [`Weir::up_in`], with standard streams other than a file: output there is not in [`Weir::said`].
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_into(data: &Path, environment: &[(&str, &str)], stdout: Stdio, stderr: Stdio) -> Self {
        let mut command = command(data, &["up", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied()).stdout(stdout).stderr(stderr);
        Self::launch(data, command).await
    }

    /// Starts a command that runs `weir up` on this folder in its own way.
    ///
    /// # Panics
    /// As [`Weir::up`].
    pub async fn up_as(data: &Path, command: Command) -> Self {
        Self::launch(data, command).await
    }

    /// Starts a command that runs `weir up` on this folder, with its output in a file, and waits for its gateway.
    async fn start(data: &Path, mut command: Command) -> Self {
        fs::create_dir_all(data).unwrap();
        let output = File::options().create(true).append(true).open(data.join("test.log")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Self::launch(data, command).await
    }

    fn spawn(data: &Path, log: PathBuf, mut command: Command) -> Self {
        let child = command.spawn().unwrap();
        // Verifying the gateway's certificate is left to the tests about it.
        let http = crate::http::client().tls_danger_accept_invalid_certs(true).build().unwrap();
        Weir { data: data.to_owned(), log, child, url: String::new(), http }
    }

    async fn launch(data: &Path, command: Command) -> Self {
        // A file left by a killed process says nothing about the new one.
        let _ = fs::remove_file(data.join("gateway.json"));
        let mut weir = Self::spawn(data, data.join("test.log"), command);
        weir.url = eventually(DEADLINE, "weir up to note its address", || {
            let ended = weir.child.try_wait().unwrap();
            assert!(ended.is_none(), "weir up ended: {}\n{}", ended.unwrap(), weir.said());
            let note = fs::read(data.join("gateway.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            async move { note.and_then(|note| note["url"].as_str().map(str::to_owned)) }
        })
        .await;
        weir.answers().await;
        weir
    }

    async fn answers(&self) {
        eventually(DEADLINE, "the gateway to answer", || async {
            let answer = self.http.get(self.path("/healthz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The gateway's address, `http://ADDRESS:PORT`, or with TLS `https://ADDRESS:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The gateway's address with a path, which begins with a slash.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An HTTP client with the deadline of the tests.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Its output so far, including that of earlier processes on this folder.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it without warning, as `kill -9` does.
    ///
    /// # Panics
    /// If it has ended and was waited for.
    pub fn kill_now(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }

    /// Requests its end, as `kill` does.
    pub fn ask_to_end(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Makes it reread its files, as `kill -HUP` does.
    pub fn hang_up(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    /// Requests its end and waits for it.
    ///
    /// # Panics
    /// If it has not ended by the deadline.
    pub async fn end(mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended().await
    }

    /// Waits until it exits.
    ///
    /// # Panics
    /// If it has not ended by the deadline.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually(DEADLINE, "weir up to end", || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        })
        .await
    }

    /// Runs a command of the command line against it, for example `["flow", "list"]`.
    ///
    /// # Panics
    /// If it has not ended by the deadline.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        run(&self.data, arguments).await
    }

    /// A command of the command line against it, not started yet, for one that does not end without intervention.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&self.data, arguments)
    }

    /// As [`Weir::run`]; it must succeed. Returns its output.
    ///
    /// # Panics
    /// If it fails, with its output.
    pub async fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "weir {}: {}\n{out}{err}", arguments.join(" "), output.status);
        out.into_owned()
    }

    /// Posts JSON and returns the answer, which must be JSON.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        json(self.http.post(self.path(path)).json(body).send().await.unwrap()).await
    }

    /// Posts text unchanged with a content type and returns the answer, which must be JSON.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post_text(&self, path: &str, content_type: &str, body: String) -> Value {
        let request = self.http.post(self.path(path)).header("content-type", content_type).body(body);
        json(request.send().await.unwrap()).await
    }

    /// Gets JSON.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Value {
        json(self.http.get(self.path(path)).send().await.unwrap()).await
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It has already ended if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what weir said ---\n{}---", self.said());
        }
    }
}

/// Runs a command of the command line on a data folder, with nothing on its standard input.
///
/// # Panics
/// If it has not ended by the deadline.
pub async fn run(data: &Path, arguments: &[&str]) -> Output {
    let mut command = command(data, arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let ended = tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())).await;
    let Ok(output) = ended else {
        // A command that runs forever would block the test forever.
        kill_process(pid, Signal::KILL).unwrap();
        panic!("weir {} has not ended after {} s", arguments.join(" "), DEADLINE.as_secs());
    };
    output.unwrap()
}

/// A command of the command line on a data folder, not started yet, with nothing on its standard input.
#[must_use]
pub fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    clean(&mut command).arg("--data").arg(data).args(arguments).stdin(Stdio::null());
    command
}

/// Removes variables of the tester's environment that would change the result.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WEIR_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1")
}

async fn json(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("the answer ({status}) is not JSON ({error}): {text}"))
}
