//! Creates an engine while other parts of the process start.

use std::path::PathBuf;

use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::error::RuntimeError;

/// An engine that is being created. Its pool reserves and guards the address space of every instance, which takes some milliseconds and is
/// independent of the other parts of a process.
#[derive(Debug)]
pub struct EngineStart(JoinHandle<Result<Engine, RuntimeError>>);

impl EngineStart {
    /// Begins to create it on a thread for blocking work; see [`Engine::new`]. If this is dropped, the engine is still created, and then
    /// dropped.
    pub fn begin(instances_count: u32, code_cache: PathBuf) -> Self {
        EngineStart(tokio::task::spawn_blocking(move || Engine::new(instances_count, &code_cache)))
    }

    /// Waits until it is created.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(crate) async fn made(self) -> Result<Engine, RuntimeError> {
        self.0.await.expect("making an engine does not panic")
    }
}
