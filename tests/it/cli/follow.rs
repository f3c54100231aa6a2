//! Commands that run until Ctrl-C: their output as it is printed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

/// A running command, with both its outputs in files.
pub(super) struct Follower {
    child: Child,
    out: PathBuf,
    said: PathBuf,
}

impl Follower {
    pub(super) fn start(weir: &Weir, folder: &Path, arguments: &[&str]) -> Self {
        let (out, said) = (folder.join("follower.out"), folder.join("follower.err"));
        let mut command = weir.command(arguments);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&said).unwrap());
        Follower { child: command.spawn().unwrap(), out, said }
    }

    /// Waits until its output fulfils `wanted`; returns all of it.
    pub(super) async fn printed(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let look = |text: String| wanted(&text).then_some(text);
        eventually(DEADLINE, what, || async { look(fs::read_to_string(&self.out).unwrap()) }).await
    }

    /// The same for words on standard error.
    pub(super) async fn told(&self, words: &str) -> String {
        let look = |text: String| text.contains(words).then_some(text);
        eventually(DEADLINE, words, || async { look(fs::read_to_string(&self.said).unwrap()) }).await
    }

    /// Ends it as Ctrl-C does; returns its exit code.
    pub(super) async fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
        self.ended().await
    }

    /// Waits until it exits; returns its exit code.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        eventually(DEADLINE, "the command to end", || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        })
        .await
        .code()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It has already ended if the test succeeded.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
