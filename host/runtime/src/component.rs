//! Components ready to run: fetched, verified, compiled once for each digest, and linked.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;
use tokio::task::JoinError;
use wasmtime::component::{Component, InstancePre};
use weir_config::records::Digest;
use weir_config::{ComponentSource, ConfigError};
use weir_pubsub::panic_text;

use crate::bindings::{ProcessorIndices, setup::ConfigurableIndices};
use crate::caches::{Trimmed, trim};
use crate::engine::{Engine, TABLES_PER_SLOT};
use crate::error::RuntimeError;
use crate::guest::Guest;
use crate::inspect::{Inspected, inspect};

const SETUP: &str = "weir:processor/setup@";

/// A compiled and linked component, from which instances can be created.
pub struct CompiledComponent {
    pub(crate) digest: Digest,
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) processor: ProcessorIndices,
    pub(crate) setup: Option<ConfigurableIndices>,
    /// The slots of the pool that one instance takes.
    pub(crate) slots_count: u32,
}

impl CompiledComponent {
    /// Compiles and links the bytes of a component, or uses its cached code. Blocks for as long as that takes.
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
        let slots_count = slots_count(digest, component, engine.slots().max_count_per_instance())?;
        Ok(CompiledComponent { digest, engine: engine.clone(), pre, processor, setup, slots_count })
    }
}

/// The slots that an instance takes: one per memory, and one per four tables.
pub(crate) fn slots_count(digest: Digest, component: &Component, largest_count: u32) -> Result<u32, RuntimeError> {
    let needed = component.resources_required().ok_or_else(|| RuntimeError::ComponentUnfit {
        digest,
        source: "it instantiates modules that it imports, so that its memories cannot be counted".into(),
    })?;
    let slots_count = needed.num_memories.max(needed.num_tables.div_ceil(TABLES_PER_SLOT)).max(1);
    match slots_count <= largest_count {
        true => Ok(slots_count),
        false => Err(RuntimeError::TooManySlots { digest, slots_count, largest_count }),
    }
}

/// The exports of a component that the host calls.
pub(crate) fn indices(
    engine: &wasmtime::Engine,
    component: &Component,
    pre: &InstancePre<Guest>,
) -> wasmtime::Result<(ProcessorIndices, Option<ConfigurableIndices>)> {
    let has_setup = component.component_type().exports(engine).any(|(name, _)| name.starts_with(SETUP));
    let setup = has_setup.then(|| ConfigurableIndices::new(pre)).transpose()?;
    Ok((ProcessorIndices::new(pre)?, setup))
}

impl std::fmt::Debug for CompiledComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Loads components by digest; those in use are shared.
pub(crate) struct Loader {
    engine: Engine,
    source: Arc<dyn ComponentSource>,
    /// The limit of cached components and their code together; unlimited if they are managed elsewhere.
    cache_bytes: Option<u64>,
    loaded: Mutex<HashMap<Digest, Weak<CompiledComponent>>>,
    /// One load at a time per digest: concurrent callers share the result.
    loading: Mutex<HashMap<Digest, Weak<Semaphore>>>,
    /// Files of compiled code that may be read at a time.
    reading: Semaphore,
    /// One compilation at a time: each uses all processors.
    compiling: Semaphore,
}

/// Enough to keep a disk busy; each file is read whole to verify it.
const READ_COUNT: usize = 4;

impl Loader {
    pub(crate) fn new(engine: Engine, source: Arc<dyn ComponentSource>, cache_bytes: Option<u64>) -> Self {
        let (reading, compiling) = (Semaphore::new(READ_COUNT), Semaphore::new(1));
        Loader { engine, source, cache_bytes, loaded: Mutex::default(), loading: Mutex::default(), reading, compiling }
    }

    /// Loads a component, or shares the one in use. `size_bytes` is the size given in its record.
    ///
    /// # Errors
    /// `ComponentMissing`, `ComponentUnreadable`, `Component`, `ComponentUnfit`.
    pub(crate) async fn load(&self, digest: Digest, size_bytes: u64) -> Result<Arc<CompiledComponent>, RuntimeError> {
        if let Some(loaded) = self.in_use(digest) {
            return Ok(loaded);
        }
        let turn = self.turn(digest);
        let _turn = turn.acquire().await.expect("the semaphore is never closed");
        if let Some(loaded) = self.in_use(digest) {
            return Ok(loaded);
        }
        // Checked first, outside of the compilation lock: compiled components start while others compile.
        let loaded = match self.compiled(digest).await? {
            Some(loaded) => loaded,
            None => {
                // Outside of the compilation lock as well: a store that does not answer delays nothing that is already local.
                self.source.prefetch(digest, size_bytes).await.map_err(unreadable(digest))?;
                self.compile(digest).await?
            }
        };
        let loaded = Arc::new(loaded);
        self.lock().insert(digest, Arc::downgrade(&loaded));
        self.trim().await;
        Ok(loaded)
    }

    fn turn(&self, digest: Digest) -> Arc<Semaphore> {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        loading.retain(|_, turn| turn.strong_count() > 0);
        let turn = loading.get(&digest).and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(Semaphore::new(1)));
        loading.insert(digest, Arc::downgrade(&turn));
        turn
    }

    async fn compiled(&self, digest: Digest) -> Result<Option<CompiledComponent>, RuntimeError> {
        let _reads = self.reading.acquire().await.expect("the semaphore is never closed");
        let engine = self.engine.clone();
        let kept = move || engine.load_compiled(digest).map(|component| CompiledComponent::link(&engine, digest, &component)).transpose();
        blocking(digest, kept).await
    }

    async fn compile(&self, digest: Digest) -> Result<CompiledComponent, RuntimeError> {
        let _turn = self.compiling.acquire().await.expect("the semaphore is never closed");
        let bytes = self.source.get(digest).await.map_err(unreadable(digest))?;
        let bytes = bytes.ok_or(RuntimeError::ComponentMissing { digest })?;
        tracing::info!(%digest, size_bytes = bytes.len(), "compiling component");
        let engine = self.engine.clone();
        blocking(digest, move || CompiledComponent::of_bytes(&engine, &bytes)).await
    }

    /// Trims the caches to their limit.
    async fn trim(&self) {
        let Some(most_bytes) = self.cache_bytes else { return };
        let mut in_use: BTreeSet<Digest> = self.lock().keys().copied().collect();
        in_use.extend(self.loading.lock().unwrap_or_else(PoisonError::into_inner).keys());
        let folders = self.source.cache_folder().map(|folder| folder.folder().to_owned());
        let folders: Vec<PathBuf> = folders.into_iter().chain([self.engine.code_folder().to_owned()]).collect();
        let work = move || trim(&folders, most_bytes, &in_use);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(Trimmed { files_count: 0, .. })) | Err(_) => {}
            Ok(Ok(Trimmed { files_count, size_bytes })) => {
                tracing::info!(files_count, size_bytes, most_bytes, "least recently used cached components and code removed");
            }
            Ok(Err(error)) => tracing::warn!(error = %weir_pubsub::chain(&error), "cached components cannot be listed"),
        }
    }

    fn in_use(&self, digest: Digest) -> Option<Arc<CompiledComponent>> {
        self.lock().get(&digest)?.upgrade()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Weak<CompiledComponent>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded
    }
}

fn unreadable(digest: Digest) -> impl FnOnce(ConfigError) -> RuntimeError {
    move |error| RuntimeError::ComponentUnreadable { digest, source: error.into() }
}

/// Runs work on a component outside of the async tasks. A component on which the engine panics cannot run; nothing else is affected.
async fn blocking<T: Send + 'static>(
    digest: Digest,
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(payload)) => Err(RuntimeError::ComponentUnfit { digest, source: panic_text(&*payload).into() }),
        // Blocking work is cancelled only if the runtime is being torn down, and its waiters with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// A component that exports nothing and has this many memories of its own.
    fn component(memories_count: u32) -> Vec<u8> {
        use wasm_encoder::{InstanceSection, MemorySection, MemoryType, Module, ModuleArg, ModuleSection};
        let (mut module, mut memories) = (Module::new(), MemorySection::new());
        memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
        module.section(&memories);
        let mut component = wasm_encoder::Component::new();
        component.section(&ModuleSection(&module));
        let mut instances = InstanceSection::new();
        for _ in 0..memories_count {
            instances.instantiate::<[(&str, ModuleArg); 0], &str>(0, []);
        }
        component.section(&instances);
        component.finish()
    }

    #[tokio::test]
    async fn a_compiled_component_is_loaded_while_others_compile() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(4, &folder.path().join("cache")).unwrap();
        let (cached, other) = (Digest::from_sha256([1; 32]), Digest::from_sha256([2; 32]));
        engine.compile(cached, &component(1)).unwrap();
        let loader = Loader::new(engine, Arc::new(weir_config::ComponentFolder::new(folder.path().join("components"))), None);
        let compiling = loader.compiling.acquire().await.unwrap();
        let mut waits = Box::pin(loader.load(other, 1));
        // It has no handler, which is detected after reading it: it did not wait for its turn to compile.
        let found = loader.load(cached, 1).await.unwrap_err();
        assert!(matches!(found, RuntimeError::ComponentUnfit { .. }), "{found}");
        assert!(waits.as_mut().now_or_never().is_none());
        drop(compiling);
        assert!(matches!(waits.await.unwrap_err(), RuntimeError::ComponentMissing { .. }));
    }

    #[tokio::test]
    async fn each_memory_of_a_component_takes_a_slot() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(4, folder.path()).unwrap();
        let digest = Digest::from_sha256([1; 32]);
        let count = |memories_count| {
            let component = Component::new(engine.inner(), component(memories_count)).unwrap();
            slots_count(digest, &component, engine.slots().max_count_per_instance())
        };
        assert_eq!((count(0).unwrap(), count(1).unwrap(), count(3).unwrap()), (1, 1, 3));
        let refused = count(4).unwrap_err();
        assert!(refused.is_permanent() && refused.to_string().contains("takes 4 instance slots"), "{refused}");
    }
}
