//! A program that a bench compares with, in a separate process.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, ensure};

/// How often to check whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Dropping this ends it.
pub(crate) struct Opponent(Child);

impl Opponent {
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let shown = command.get_program().display().to_string();
        Ok(Opponent(command.spawn().with_context(|| format!("{shown} does not start"))?))
    }

    /// Waits until it has ended, which must be successful.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the reference failed: {status}");
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Opponent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
