//! The WebAssembly engine: one for all languages, its pool of instances, its clock, and the cache of compiled code.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};
use weir_config::UnusedFile;
use weir_config::records::Digest;

use crate::caches::touch;
use crate::error::RuntimeError;
use crate::guest::{Guest, MAX_INSTANCES_COUNT, MAX_MEMORIES_COUNT, MAX_TABLES_COUNT};
use crate::imports;
use crate::slots::Slots;
use crate::suspects::Suspects;

/// How long a component runs before it lets others go on: one tick of the epoch.
const TICK: Duration = Duration::from_millis(10);
/// Tables that go with one memory; only address space, too. Components of all languages have two or three.
pub(crate) const TABLES_PER_SLOT: u32 = 4;
/// The memory of one instance, at most, whatever its deployment allows; only address space, which costs nothing.
const MAX_MEMORY_BYTES: usize = weir_config::records::MAX_MEMORY_BYTES as usize;

/// The engine and what belongs to it. Cloning is cheap.
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
    /// Makes an engine whose pool holds `instances_count` instances and which keeps compiled code in a folder of its own.
    ///
    /// # Errors
    /// `Engine` when the machine has no room for so many, `CodeCache` when the folder cannot be made.
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

    /// The notes of messages that may be what ends this host.
    pub(crate) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// The places in the pool.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Cancelled when the thread that interrupts running components has failed; not when the engine itself was dropped.
    pub(crate) fn ticker_ended(&self) -> &CancellationToken {
        &self.ticker_ended
    }

    /// The engine itself: for benches, which hold a bare call against the host's.
    pub fn inner(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Where compiled code is kept.
    pub(crate) fn code_folder(&self) -> &Path {
        &self.cache.folder
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    /// Compiled code that was kept; `None` if there is none that this engine can use. Reads a file.
    pub(crate) fn load_compiled(&self, digest: Digest) -> Option<Component> {
        self.cache.load(&self.inner, digest)
    }

    /// Compiles a component and keeps the code. Takes all processors for up to seconds. The code is then mapped from its file, which costs
    /// no memory of the process, and what the compiler used is returned to the system.
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
            // Without the cache the next start takes longer, and nothing else.
            tracing::warn!(%digest, error = %weir_pubsub::chain(&error), "compiled code not cached");
        }
        component
    }
}

/// Compiles by an engine that goes with the work: a compiler keeps the buffers of all its threads for as long as it lives.
fn compiled_apart(bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
    wasmtime::Engine::new(&code_settings())?.precompile_component(bytes)
}

/// The code that was compiled just now, where its file cannot be used.
fn deserialized(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(unsafe_code, reason = "code that this engine has compiled, which was in no other hands")]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Has the allocator return free memory to the system. It would keep what the compiler's threads used, some hundred MiB.
fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "a function of the C library without preconditions")]
    unsafe {
        libc::malloc_trim(0);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("free_slots_count", &self.slots.free_count()).finish_non_exhaustive()
    }
}

/// The features of WebAssembly that components may use: those that the engine has by default, as it is built here. The engine is set to
/// exactly these, and components are checked against them before they are deployed.
pub(crate) fn features() -> WasmFeatures {
    let built_without = WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS | WasmFeatures::GC_TYPES | WasmFeatures::GC;
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL) & !built_without
}

/// The settings that ran components of all languages; what is no limit on purpose costs nothing.
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

/// The settings that code depends on.
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

/// Moves the epoch on until the engine is gone.
fn tick(engine: &wasmtime::Engine, ended: &CancellationToken) -> io::Result<()> {
    let weak = engine.weak();
    let ended = ended.clone().drop_guard();
    std::thread::Builder::new().name("weir-epoch".to_owned()).spawn(move || {
        // Dropped unless it is disarmed: a panic counts as an end, that the engine is gone does not.
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

/// Compiled code by digest: files `DIGEST-ENGINE.cwasm` in a folder that only this user can enter. Beside each lies its checksum in a file
/// `DIGEST-ENGINE.crc`: the engine trusts the code as it trusts itself, so a damaged disk must not reach it.
struct CodeCache {
    folder: PathBuf,
    /// Stands for the engine's version and settings: code of others is not even looked at.
    engine: String,
}

impl CodeCache {
    fn open(folder: &Path, engine: &wasmtime::Engine) -> Result<Self, RuntimeError> {
        let failed = |source| RuntimeError::CodeCache { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(CodeCache { folder: folder.to_owned(), engine: id_of(engine) })
    }

    fn file(&self, digest: Digest, extension: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{extension}", digest.to_hex(), self.engine))
    }

    fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.file(digest, "cwasm");
        if !path.exists() {
            return None;
        }
        touch(&path);
        self.load_file(engine, digest, &path)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "compiled code unusable, compiling again");
                let _ = fs::remove_file(&path);
            })
            .ok()
    }

    fn load_file(&self, engine: &wasmtime::Engine, digest: Digest, path: &Path) -> wasmtime::Result<Component> {
        let wanted = fs::read_to_string(self.file(digest, "crc"))?;
        if checksum(&fs::read(path)?) != wanted {
            return Err(wasmtime::Error::msg("the file has changed: its checksum differs"));
        }
        #[allow(unsafe_code, reason = "a file that this host wrote whole and just verified, in a folder of mode 0700, for this engine")]
        unsafe {
            Component::deserialize_file(engine, path)
        }
    }

    /// Keeps code. A checksum and code that do not belong together, after a crash between the two, are no code.
    fn store(&self, digest: Digest, code: &[u8]) -> io::Result<()> {
        self.write(&self.file(digest, "crc"), checksum(code).as_bytes())?;
        self.write(&self.file(digest, "cwasm"), code)
    }

    /// Written beside and renamed, so that nobody ever sees half a file.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let part = self.folder.join(format!("{:016x}.part", rand::random::<u64>()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }
}

/// Stands for the version and settings of an engine in the names of files.
fn id_of(engine: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// How old what an interrupted write left is, at the least: what is younger may be written just now.
const PART_AGE: Duration = Duration::from_secs(3_600);

/// The files of compiled code that no host would use when only these digests are named: code of other components or of another engine,
/// and what interrupted writes left.
pub(crate) fn unused_code(folder: &Path, engine: &wasmtime::Engine, named: &BTreeSet<Digest>) -> io::Result<Vec<UnusedFile>> {
    let engine = id_of(engine);
    let is_old = |name: &str| {
        let modified = fs::metadata(folder.join(name)).and_then(|meta| meta.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > PART_AGE))
    };
    let is_unused = |name: &str| match name.rsplit_once('.') {
        Some((stem, "cwasm" | "crc")) => match stem.split_once('-') {
            Some((hex, made_by)) => hex.parse::<Digest>().is_ok_and(|digest| made_by != engine || !named.contains(&digest)),
            None => false,
        },
        Some((_, "part")) => is_old(name),
        _ => false,
    };
    weir_config::unused_files(folder, is_unused)
}

/// Length and CRC-32C: against damage, not against people, whom the folder's mode keeps out.
fn checksum(code: &[u8]) -> String {
    format!("{} {:08x}", code.len(), crc32c::crc32c(code))
}
