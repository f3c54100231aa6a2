//! Whether this host can run a component: checked by the engine itself, before the component is deployed, without running or compiling its
//! code.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use weir_config::UnusedFile;
use weir_config::records::{ComponentLimits, Digest};
use weir_pubsub::{chain, panic_text};

use crate::code_cache::unused_code;
use crate::component::{indices, slots_count};
use crate::engine::settings;
use crate::error::{ComponentFault, RuntimeError};
use crate::guest::Guest;
use crate::imports;
use crate::inspect::{Inspected, inspect};
use crate::memory_limit::{MAX_INSTANCES_COUNT, MemoryLimit};
use crate::slots::Slots;
use crate::stub::stub_component;

/// The engine of a host without a pool of running instances. A checker can be kept and used from several threads.
pub struct Checker {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    /// The most instance slots that a component may take.
    largest_count: u32,
}

impl Checker {
    /// Creates a checker for hosts with this number of instance slots (`host.instances`).
    ///
    /// # Errors
    /// `Engine` if the machine has not enough address space.
    pub fn new(host_instances_count: u32) -> Result<Self, RuntimeError> {
        // Room for one instance with everything it may have.
        let instances_count = MAX_INSTANCES_COUNT as u32;
        let failed = |error: wasmtime::Error| RuntimeError::Engine { instances_count, source: error.into() };
        let engine = wasmtime::Engine::new(&settings(instances_count)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        imports::add_to_linker(&mut linker).map_err(failed)?;
        Ok(Checker { engine, linker, largest_count: Slots::new(host_instances_count).max_count_per_instance() })
    }

    /// Inspects a component and checks that this host can run it under these limits. Takes up to seconds, and blocks.
    ///
    /// # Errors
    /// [`ComponentFault`], with the cause and the fix.
    pub fn check(&self, bytes: &[u8], limits: &ComponentLimits) -> Result<Inspected, ComponentFault> {
        self.check_under(bytes, |_| Ok(limits.clone()))
    }

    /// The same under limits that depend on the component.
    ///
    /// # Errors
    /// [`ComponentFault`]; `Undeployable` if there are no such limits.
    pub fn check_under(
        &self,
        bytes: &[u8],
        limits_of: impl FnOnce(&Inspected) -> Result<ComponentLimits, String>,
    ) -> Result<Inspected, ComponentFault> {
        let inspected = inspect(bytes)?.check()?;
        if let Some(fault) = inspected.faults.first() {
            return Err(ComponentFault::Undeployable { problem: fault.clone() });
        }
        let limits = &limits_of(&inspected).map_err(|problem| ComponentFault::Undeployable { problem })?;
        // The engine receives untrusted bytes. A panic on them does not concern existing deployments.
        let made = catch_unwind(AssertUnwindSafe(|| self.make(inspected.digest, bytes, limits)));
        match made.unwrap_or_else(|payload| Err(format!("the engine panicked: {}", panic_text(&*payload)))) {
            Ok(()) => Ok(inspected),
            Err(problem) => Err(ComponentFault::Engine { problem }),
        }
    }

    /// The files of a host's folder of compiled code that it would not use if only these digests were referenced: code of other components or of
    /// another version of the engine, and leftovers of writes that were interrupted an hour ago or more. Reads the folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn unused_code(&self, folder: &Path, named: &BTreeSet<Digest>) -> std::io::Result<Vec<UnusedFile>> {
        unused_code(folder, &self.engine, named)
    }

    /// Makes the engine translate, link and instantiate the component without its code.
    fn make(&self, digest: Digest, bytes: &[u8], limits: &ComponentLimits) -> Result<(), String> {
        let shown = |error: wasmtime::Error| format!("{error:#}");
        let component = Component::new(&self.engine, stub_component(bytes)?).map_err(shown)?;
        let pre = self.linker.instantiate_pre(&component).map_err(shown)?;
        indices(&self.engine, &component, &pre).map_err(shown)?;
        slots_count(digest, &component, self.largest_count).map_err(|error| chain(&error))?;
        let mut nothing = Linker::new(&self.engine);
        nothing.define_unknown_imports_as_traps(&component).map_err(shown)?;
        let mut store = Store::new(&self.engine, MemoryLimit::new(limits.memory_bytes));
        store.limiter(|limit| limit);
        store.set_epoch_deadline(u64::MAX / 2);
        let made = nothing.instantiate(&mut store, &component).map(|_| ());
        made.map_err(|error| store.data().refusal().unwrap_or_else(|| shown(error)))
    }
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[tokio::test]
    async fn compiled_code_is_kept_while_a_deployment_refers_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(8, folder.path()).unwrap();
        let digest = Digest::from_sha256([7; 32]);
        engine.compile(digest, &wasm_encoder::Component::new().finish()).unwrap();
        std::fs::write(folder.path().join(format!("{}-0123456789abcdef.cwasm", digest.to_hex())), b"of another engine").unwrap();
        std::fs::write(folder.path().join("0000.part"), b"being written").unwrap();
        let checker = Checker::new(8).unwrap();
        let unused = |named: &[Digest]| checker.unused_code(folder.path(), &named.iter().copied().collect()).unwrap();
        assert_eq!(unused(&[digest]).iter().map(|file| file.size_bytes).collect::<Vec<_>>(), [17]);
        assert_eq!(unused(&[]).len(), 3);
    }
}
