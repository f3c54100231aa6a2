//! Signals: the first requests a graceful shutdown, the second forces it; SIGHUP rereads files.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end Weir. They are caught from the creation of this value on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts catching them.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one, and returns its name.
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

/// SIGHUP, once something can be reread. Otherwise it ends Weir, for example when a terminal is closed.
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Starts catching it, unless there is nothing to reread.
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
