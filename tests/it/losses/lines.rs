//! Captures the log of one thread, for tests of it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// The captured log, line by line.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// What this thread logs from now on, until the guards are dropped.
    pub(super) fn of_this_thread() -> (Self, (Dispatch, DefaultGuard)) {
        let lines = Lines::default();
        let writer = lines.clone();
        let log =
            tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO).with_writer(move || writer.clone()).finish();
        // With only one dispatcher, a log statement first reached by another thread would be disabled for all threads.
        let other = Dispatch::new(tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).finish());
        (lines, (other, tracing::subscriber::set_default(log)))
    }

    /// Whether a text was logged since lines were last taken.
    pub(super) fn contain(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }

    /// The lines with a text since lines were last taken.
    pub(super) fn take(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}
