//! Runs a command for a test process and cleans up when that process ends, however it ends: `supervise FOLDER COMMAND...`.
//!
//! Each line on the standard input starts the command, after ending its previous run. The end of the standard input, which the operating
//! system closes with the test process, ends the command and removes the folder. The command is `unshare --fork --pid`, directly or through
//! a program that execs it: the processes of its PID namespace end together.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use weir_tests::process::children;

const USAGE: &str = "usage: supervise FOLDER COMMAND...";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().context(USAGE)?);
    let program = arguments.next().context(USAGE)?;
    let arguments: Vec<OsString> = arguments.collect();
    let mut child = None;
    // An error counts as the end, too: the folder must be removed.
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        end(child.take());
        match Command::new(&program).args(&arguments).stdin(Stdio::null()).spawn() {
            Ok(started) => child = Some(started),
            Err(error) => eprintln!("{} did not start: {error}", program.display()),
        }
    }
    end(child);
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// Kills the first process of the namespace; `unshare` ends when all processes in it are gone.
fn end(child: Option<Child>) {
    let Some(mut child) = child else { return };
    let in_namespace = children(child.id());
    for first in in_namespace.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        // It may have ended already.
        let _ = kill_process(first, Signal::KILL);
    }
    if in_namespace.is_empty() {
        let _ = child.kill();
    }
    let _ = child.wait();
}
