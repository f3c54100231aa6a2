//! The real binary `weir up` on a data folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A running Weir. Dropping it terminates the process and waits for it: the folder is used again.
pub(crate) struct Running {
    child: Child,
    note: PathBuf,
}

impl Running {
    pub(crate) fn start(weir: &Path, data: &Path) -> anyhow::Result<Self> {
        let note = data.join("gateway.json");
        let _ = std::fs::remove_file(&note);
        let mut command = Command::new(weir);
        command.arg("--data").arg(data).args(["up", "--listen", "127.0.0.1:0"]).env_remove("WEIR_TOKEN");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Running { child: command.spawn().context("weir does not start")?, note })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its gateway's address, once it is recorded.
    pub(crate) fn url(&mut self) -> anyhow::Result<Option<String>> {
        if let Some(code) = self.child.try_wait()? {
            anyhow::bail!("weir up ended: {code}");
        }
        let text = std::fs::read(&self.note).ok();
        let note = text.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        Ok(note.and_then(|note| note["url"].as_str().map(str::to_owned)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
