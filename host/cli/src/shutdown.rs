//! Signals: the first requests a graceful shutdown, the second forces it; SIGHUP has files reread.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end Weir. They are caught from the moment this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to catch them.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one; its name.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// SIGHUP, once something can be reread. Until then it ends Weir, as it does when a terminal is closed.
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Begins to catch it, unless there is nothing to reread.
    pub(crate) fn catch(has_files: bool) -> std::io::Result<Self> {
        has_files.then(|| signal(SignalKind::hangup())).transpose().map(Hangups)
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}
