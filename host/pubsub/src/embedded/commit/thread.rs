//! The commit thread's start, and cleanup when it panics.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::shared::Shared;
use super::writer::Writer;
use crate::embedded::log::Log;
use crate::supervise::panic_text;

/// Starts the commit thread.
pub(crate) fn start(shared: Arc<Shared>, log: Log) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("weir-log".to_owned()).spawn(move || {
        let writer = Writer::new(shared.clone(), log);
        // Dropping the writer closes everything, so no caller waits for a thread that has ended.
        if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(|| writer.run())) {
            let reason = panic_text(&*payload);
            tracing::error!(error = reason, "commit thread ended, nothing is stored from now on");
            shared.failed.send_replace(Some(reason));
        }
        // The writer is dropped, and the folder lock with it.
        shared.ended.send_replace(true);
    })
}
