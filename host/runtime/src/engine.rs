//! The WebAssembly engine: one for all languages, its pool of instances and its clock.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};
use weir_config::records::Digest;

use crate::code_cache::CodeCache;
use crate::error::RuntimeError;
use crate::guest::Guest;
use crate::imports;
use crate::memory_limit::{MAX_INSTANCES_COUNT, MAX_MEMORIES_COUNT, MAX_TABLES_COUNT};
use crate::slots::Slots;
use crate::suspects::Suspects;

/// How long a component runs before it yields: one tick of the epoch.
const TICK: Duration = Duration::from_millis(10);
/// Tables per memory; they take only address space, too. Components of all languages have two or three.
pub(crate) const TABLES_PER_SLOT: u32 = 4;
/// The largest memory of one instance, whatever its deployment allows; only address space, which costs nothing.
const MAX_MEMORY_BYTES: usize = weir_config::records::MAX_MEMORY_BYTES as usize;

/// The engine and its related state. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    linker: Arc<Linker<Guest>>,
    slots: Slots,
    cache: Arc<CodeCache>,
    ticker_ended: CancellationToken,
    suspects: Suspects,
}

impl Engine {
    /// Creates an engine whose pool holds `instances_count` instances and which caches compiled code in a folder of its own.
    ///
    /// # Errors
    /// `Engine` if the machine has no address space for so many, `CodeCache` if the folder cannot be created.
    pub fn new(instances_count: u32, code_cache: &Path) -> Result<Self, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Engine { instances_count, source: error.into() };
        let inner = wasmtime::Engine::new(&settings(instances_count)).map_err(failed)?;
        let mut linker = Linker::new(&inner);
        imports::add_to_linker(&mut linker).map_err(failed)?;
        let cache = CodeCache::open(code_cache, &inner)?;
        let ticker_ended = CancellationToken::new();
        tick(&inner, &ticker_ended).map_err(|source| RuntimeError::Engine { instances_count, source: source.into() })?;
        let (linker, slots, cache) = (Arc::new(linker), Slots::new(instances_count), Arc::new(cache));
        Ok(Engine { inner, linker, slots, cache, ticker_ended, suspects: Suspects::new(code_cache.join("suspects")) })
    }

    /// The notes of messages that may be crashing this host.
    pub(crate) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// The slots of the pool.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Cancelled when the thread that interrupts running components has failed; not when the engine itself was dropped.
    pub(crate) fn ticker_ended(&self) -> &CancellationToken {
        &self.ticker_ended
    }

    /// The engine itself: for benches, which compare a bare call with the host's.
    pub fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The folder of compiled code.
    pub(crate) fn code_folder(&self) -> &Path {
        self.cache.folder()
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    /// Cached compiled code; `None` if there is none that this engine can use. Reads a file.
    pub(crate) fn load_compiled(&self, digest: Digest) -> Option<Component> {
        self.cache.load(&self.inner, digest)
    }

    /// Compiles a component and caches the code. Uses all processors for up to seconds. The code is then mapped from its file, which takes
    /// no memory of the process, and the memory of the compiler is returned to the system.
    pub(crate) fn compile(&self, digest: Digest, bytes: &[u8]) -> Result<Component, RuntimeError> {
        let unfit = |error: wasmtime::Error| RuntimeError::ComponentUnfit { digest, source: error.into() };
        let code = compiled_apart(bytes).map_err(unfit)?;
        let stored = self.cache.store(digest, &code);
        let kept = stored.is_ok().then(|| self.cache.load(&self.inner, digest)).flatten();
        let component = match kept {
            Some(component) => Ok(component),
            None => deserialized(&self.inner, &code).map_err(unfit),
        };
        drop(code);
        give_back_memory();
        if let Err(error) = stored {
            // Without the cache the next start takes longer; nothing else is affected.
            tracing::warn!(%digest, error = %weir_pubsub::chain(&error), "compiled code not cached");
        }
        component
    }
}

/// Compiles with an engine that is dropped afterwards: a compiler keeps the buffers of all its threads for as long as it lives.
fn compiled_apart(bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
    wasmtime::Engine::new(&code_settings())?.precompile_component(bytes)
}

/// The code just compiled, for when its file cannot be used.
fn deserialized(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(unsafe_code, reason = "code that this engine has compiled, which was in no other hands")]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Makes the allocator return free memory to the system. It would otherwise keep what the compiler's threads used, several hundred MiB.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "a function of the C library without preconditions")]
    unsafe {
        libc::malloc_trim(0);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("free_slots_count", &self.slots.available_count()).finish_non_exhaustive()
    }
}

/// The WebAssembly features that components may use: the defaults of the engine as built here. The engine is set to exactly these, and
/// components are checked against them before they are deployed.
pub(crate) fn features() -> WasmFeatures {
    let built_without = WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS | WasmFeatures::GC_TYPES | WasmFeatures::GC;
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL) & !built_without
}

/// Settings for components of all languages; there are deliberately no limits where they would save nothing.
pub(crate) fn settings(instances_count: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(u32::MAX)
        .total_core_instances(u32::MAX)
        .total_memories(instances_count)
        .total_stacks(instances_count)
        .total_tables(instances_count.saturating_mul(TABLES_PER_SLOT))
        .table_elements(20_000)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(2 << 20)
        .max_core_instances_per_component(MAX_INSTANCES_COUNT as u32)
        .max_memories_per_component(MAX_MEMORIES_COUNT as u32)
        .max_tables_per_component(MAX_TABLES_COUNT as u32)
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(100)
        .pagemap_scan(Enabled::Auto);
    let mut config = code_settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The settings that affect compiled code.
fn code_settings() -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false).wasm_features(features(), true);
    config
        // Asynchronous components double the cost of every call and are not served yet.
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    config
}

/// Advances the epoch until the engine is dropped.
fn tick(engine: &wasmtime::Engine, ended: &CancellationToken) -> io::Result<()> {
    let weak = engine.weak();
    let ended = ended.clone().drop_guard();
    std::thread::Builder::new().name("weir-epoch".to_owned()).spawn(move || {
        // Dropped unless it is disarmed: a panic counts as an end, a dropped engine does not.
        let ended = ended;
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::park_timeout(TICK);
        }
        ended.disarm();
    })?;
    Ok(())
}
