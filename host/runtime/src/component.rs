//! Components made ready to run: fetched, verified, compiled once for each digest, and linked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;
use tokio::task::JoinError;
use wasmtime::component::{Component, InstancePre};
use weir_config::ComponentFolder;
use weir_config::records::Digest;
use weir_pubsub::panic_text;

use crate::bindings::{ProcessorIndices, setup::ConfigurableIndices};
use crate::engine::Engine;
use crate::error::RuntimeError;
use crate::guest::Guest;
use crate::inspect::{Inspected, inspect};

const SETUP: &str = "weir:processor/setup@";

/// A component that is compiled and linked: instances can be made of it.
pub struct Loaded {
    pub(crate) digest: Digest,
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) processor: ProcessorIndices,
    pub(crate) setup: Option<ConfigurableIndices>,
}

impl Loaded {
    /// Compiles and links the bytes of a component, or takes the code that was kept of it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// `Component` and `ComponentUnfit`: it can never run here.
    pub fn of_bytes(engine: &Engine, bytes: &[u8]) -> Result<Self, RuntimeError> {
        let digest = crate::inspect::digest_of(bytes);
        match engine.load_compiled(digest) {
            Some(component) => Self::link(engine, digest, &component),
            None => {
                inspect(bytes).and_then(Inspected::check).map_err(|source| RuntimeError::Component { digest, source })?;
                Self::link(engine, digest, &engine.compile(digest, bytes)?)
            }
        }
    }

    fn link(engine: &Engine, digest: Digest, component: &Component) -> Result<Self, RuntimeError> {
        let unfit = |error: wasmtime::Error| RuntimeError::ComponentUnfit { digest, source: error.into() };
        let pre = engine.linker().instantiate_pre(component).map_err(unfit)?;
        let (processor, setup) = indices(engine.inner(), component, &pre).map_err(unfit)?;
        Ok(Loaded { digest, engine: engine.clone(), pre, processor, setup })
    }
}

/// What the host calls of a component.
pub(crate) fn indices(
    engine: &wasmtime::Engine,
    component: &Component,
    pre: &InstancePre<Guest>,
) -> wasmtime::Result<(ProcessorIndices, Option<ConfigurableIndices>)> {
    let has_setup = component.component_type().exports(engine).any(|(name, _)| name.starts_with(SETUP));
    let setup = has_setup.then(|| ConfigurableIndices::new(pre)).transpose()?;
    Ok((ProcessorIndices::new(pre)?, setup))
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Loads components by digest; those in use are shared.
pub(crate) struct Loader {
    engine: Engine,
    folder: ComponentFolder,
    loaded: Mutex<HashMap<Digest, Weak<Loaded>>>,
    /// One compilation at a time: each takes all processors by itself.
    compiling: Semaphore,
}

impl Loader {
    pub(crate) fn new(engine: Engine, folder: ComponentFolder) -> Self {
        Loader { engine, folder, loaded: Mutex::default(), compiling: Semaphore::new(1) }
    }

    /// Loads a component, or shares the one that is in use.
    ///
    /// # Errors
    /// `ComponentMissing`, `ComponentUnreadable`, `Component`, `ComponentUnfit`.
    pub(crate) async fn load(&self, digest: Digest) -> Result<Arc<Loaded>, RuntimeError> {
        if let Some(loaded) = self.in_use(digest) {
            return Ok(loaded);
        }
        let _turn = self.compiling.acquire().await.expect("the semaphore is never closed");
        if let Some(loaded) = self.in_use(digest) {
            return Ok(loaded);
        }
        let engine = self.engine.clone();
        let kept =
            blocking(digest, move || engine.load_compiled(digest).map(|component| Loaded::link(&engine, digest, &component)).transpose());
        let loaded = match kept.await? {
            Some(loaded) => loaded,
            None => self.compile(digest).await?,
        };
        let loaded = Arc::new(loaded);
        self.lock().insert(digest, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    async fn compile(&self, digest: Digest) -> Result<Loaded, RuntimeError> {
        let bytes = self.folder.get(digest).await.map_err(|error| RuntimeError::ComponentUnreadable { digest, source: error.into() })?;
        let bytes = bytes.ok_or(RuntimeError::ComponentMissing { digest })?;
        tracing::info!(%digest, size_bytes = bytes.len(), "compiling component");
        let engine = self.engine.clone();
        blocking(digest, move || Loaded::of_bytes(&engine, &bytes)).await
    }

    fn in_use(&self, digest: Digest) -> Option<Arc<Loaded>> {
        self.lock().get(&digest)?.upgrade()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<Loaded>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded
    }
}

/// Works on a component beside the tasks. A component on which the engine panics cannot run, and nothing else is wrong.
async fn blocking<T: Send + 'static>(
    digest: Digest,
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(payload)) => Err(RuntimeError::ComponentUnfit { digest, source: panic_text(&*payload).into() }),
        // Only a runtime that is being torn down cancels blocking work, and with it what waits for it.
        Err(Err(_)) => std::future::pending().await,
    }
}
