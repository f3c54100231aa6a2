//! A program of Pulsar: it ends with the test, and its folder is removed with it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{children, is_running};
use crate::wait::eventually;

/// Starting takes 6 to 18 s on two shared cores.
pub(super) const BOOT_DEADLINE: Duration = Duration::from_secs(180);
/// How long it may take to stop before it is killed: minutes have been observed.
const STOP_TIME: Duration = Duration::from_secs(30);
const OPENED: [&str; 4] = [
    "java.base/sun.net=ALL-UNNAMED",
    "java.base/java.lang=ALL-UNNAMED",
    "java.management/sun.management=ALL-UNNAMED",
    "jdk.management/com.sun.management.internal=ALL-UNNAMED",
];

/// A program with its own folder. If the test failed, the end of its log is printed.
#[derive(Debug)]
pub(super) struct Process {
    folder: PathBuf,
    supervisor: Child,
    /// Closing it ends the program.
    line: Mutex<Option<ChildStdin>>,
}

impl Process {
    /// For a command whose program is not started yet.
    pub(super) fn of(folder: &Path, command: Vec<OsString>) -> Self {
        let output = File::options().create(true).append(true).open(folder.join("output.log")).unwrap();
        let mut supervise = Command::new(supervise());
        // Outside of the terminal's process group: Ctrl-C in the terminal ends the test, and this cleans up.
        std::os::unix::process::CommandExt::process_group(&mut supervise, 0);
        supervise.current_dir(folder).arg(folder).args(command);
        supervise.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut supervisor = supervise.spawn().unwrap();
        let line = Mutex::new(supervisor.stdin.take());
        Process { folder: folder.to_owned(), supervisor, line }
    }

    /// Starts the program.
    pub(super) fn begin(&self) {
        self.line.lock().unwrap().as_mut().expect("it is open until drop").write_all(b"start\n").unwrap();
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id; `None` while it is not running.
    pub(super) fn pid(&self) -> Option<u32> {
        children(self.supervisor.id()).into_iter().find(|pid| is_running(*pid))
    }

    /// Waits until it answers; the error if it ends.
    pub(super) async fn booted<F: Future<Output = bool>>(&self, answers: impl Fn() -> F) -> Result<(), String> {
        let process = eventually(BOOT_DEADLINE, "the process", || async { self.pid() }).await;
        let answers = eventually(BOOT_DEADLINE, "the process to end or to answer", || async {
            if !is_running(process) {
                return Some(false);
            }
            answers().await.then_some(true)
        });
        if answers.await { Ok(()) } else { Err(format!("it ended while it started:\n{}", self.log())) }
    }

    /// Its output and log so far.
    pub(super) fn log(&self) -> String {
        fs::read(self.folder.join("output.log")).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    pub(super) async fn kill(&self) {
        let pid = self.signal(Signal::KILL);
        eventually(BOOT_DEADLINE, "the process to end", || async { (!is_running(pid)).then_some(()) }).await;
    }

    /// Requests its end, as a service manager does, and waits until it is gone; it is killed if that takes too long, also as service
    /// managers do.
    pub(super) async fn terminate(&self) {
        let pid = self.signal(Signal::TERM);
        let ended = async {
            eventually(BOOT_DEADLINE, "the process to end", || async { (!is_running(pid)).then_some(()) }).await;
        };
        if tokio::time::timeout(STOP_TIME, ended).await.is_err() {
            println!("Pulsar did not stop within {} s and is killed", STOP_TIME.as_secs());
            self.kill().await;
        }
    }

    fn signal(&self, signal: Signal) -> u32 {
        let pid = self.pid().expect("it runs");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
        pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4 << 10);
            eprintln!("--- the end of the log of {} ---\n{}---", self.folder.display(), &log[log.ceil_char_boundary(from)..]);
        }
        self.line.lock().unwrap().take();
        let _ = self.supervisor.wait();
    }
}

/// The command line for a class of Pulsar with this much memory. It ends with the process that starts it.
pub(super) fn java(root: &Path, heap: &str, options: &[String], class: &str) -> Vec<OsString> {
    let words = "setpriv --pdeathsig KILL java -Xms64m -XX:+UseSerialGC -XX:MaxDirectMemorySize=256m -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true";
    let mut command: Vec<OsString> = words.split(' ').map(Into::into).collect();
    command.push(format!("-Xmx{heap}").into());
    // Java ignores an archive of another release.
    let classes = root.join("classes.jsa");
    if classes.exists() {
        command.push(format!("-XX:SharedArchiveFile={}", classes.display()).into());
    }
    for opened in OPENED {
        command.extend(["--add-opens".into(), opened.into()]);
    }
    command.extend(options.iter().map(OsString::from));
    command.extend(["-cp".into(), format!("{}/lib/*", root.display()).into(), class.into()]);
    command
}

/// The program that cleans up after this process: cargo builds it beside the tests.
fn supervise() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    folder.join("supervise")
}
