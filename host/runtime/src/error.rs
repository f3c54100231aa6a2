//! Errors of components and of the host that runs them. Each identifies its owner.

use std::error::Error as StdError;
use std::path::PathBuf;

use weir_config::records::{DescriptorError, Digest, Unfit};

/// The cause of an error, from any crate.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// The newest version of `weir:processor` that this host serves; it serves every 0.1.x.
pub const WORLD_VERSION: &str = "0.1.0";

/// Why a host cannot run the bytes of a file. Always the component's fault: deploying the same file again does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentFault {
    /// The file does not begin like WebAssembly.
    #[error("the file is not WebAssembly (it has {size_bytes} bytes and begins with {found}): use the .wasm file that the build produced")]
    NotWasm {
        /// The first bytes, for display.
        found: String,
        /// The size of the file.
        size_bytes: u64,
    },
    /// A core module, not a component.
    #[error(
        "the file is a core WebAssembly module, not a component: build it for wasm32-wasip2, or convert it with `wasm-tools component new`"
    )]
    CoreModule,
    /// A component format that this host does not read.
    #[error("the file is WebAssembly in an unsupported format (layer {layer}, version {version}): build it with current tools")]
    UnknownFormat {
        /// 0 for modules, 1 for components.
        layer: u16,
        /// The version of that layer.
        version: u16,
    },
    /// The file ends too early.
    #[error("the file is truncated at byte {offset}: copy or build it again")]
    Truncated {
        /// The length of the file.
        offset: u64,
    },
    /// WebAssembly that violates its format.
    #[error("the file is damaged or uses an unsupported feature at byte {offset}: {problem}")]
    Invalid {
        /// The offset of the problem.
        offset: u64,
        /// The problem.
        problem: String,
    },
    /// A component for another host.
    #[error(
        "the component does not export `weir:processor/handler` (its exports: {found}): write it with an SDK of Weir, or against the world of wit/processor.wit"
    )]
    NoHandler {
        /// The names of its exports, for display.
        found: String,
    },
    /// Built against an unknown contract.
    #[error(
        "the component was built against weir:processor {version}; this host serves 0.1.x: build it against an older contract, or update the host"
    )]
    UnknownVersion {
        /// The version of the contract it exports.
        version: String,
    },
    /// It requires something that this host does not serve.
    #[error(
        "the component requires {needs}, which this host does not have: it serves weir:processor {served}, and the component was built \
             against {built_against}; build it against {served} without these, or update the host{}",
        http_hint(needs)
    )]
    Unserved {
        /// Interfaces, functions, and functions whose types differ.
        needs: String,
        /// The version of the contract it exports.
        built_against: String,
        /// The served version.
        served: &'static str,
    },
    /// The engine cannot run it.
    #[error(
        "the engine of this host cannot run the component: {problem}; build it within what docs/writing-a-processor.md lists under \"What the engine accepts\""
    )]
    Engine {
        /// The engine's message.
        problem: String,
    },
    /// It uses a feature of WebAssembly that the engine does not have.
    #[error(
        "the component uses a WebAssembly feature that this host does not support, at byte {offset}: {problem}; build it without that \
             feature (threads, exceptions and GC are not supported)"
    )]
    Feature {
        /// The offset of the feature.
        offset: u64,
        /// The feature.
        problem: String,
    },
    /// Its descriptor requests something that does not exist.
    #[error("the section `weir:descriptor` of the component: {problem}")]
    Undeployable {
        /// The key or grant, and the fix.
        problem: String,
    },
    /// It has no descriptor.
    #[error(
        "the component has no section `weir:descriptor`: build it with `weir build`, or, in Rust without weir.toml, put a descriptor.json beside Cargo.toml"
    )]
    NoDescriptor,
    /// It has two descriptors.
    #[error("the component has several different sections `weir:descriptor`: keep only the one that describes the whole component")]
    TwoDescriptors,
    /// Its descriptor is unusable.
    #[error("the section `weir:descriptor` of the component is unusable")]
    Descriptor(#[source] DescriptorError),
}

/// Why a host cannot start, or cannot run a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The WebAssembly engine cannot be created.
    #[error("the WebAssembly engine cannot be created for {instances_count} instances")]
    Engine {
        /// The number of instances requested.
        instances_count: u32,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// The folder of compiled code cannot be used.
    #[error("the folder {} for compiled code cannot be used", path.display())]
    CodeCache {
        /// The folder or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The bytes of a component are not available (yet).
    #[error("the component {digest} is not in this host's store: deploy it")]
    ComponentMissing {
        /// The component.
        digest: Digest,
    },
    /// The bytes of a component cannot be read, or do not match its digest.
    #[error("the component {digest} cannot be read")]
    ComponentUnreadable {
        /// The component.
        digest: Digest,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// No host of this version can run the component.
    #[error("the component {digest} cannot be run")]
    Component {
        /// The component.
        digest: Digest,
        /// The cause.
        #[source]
        source: ComponentFault,
    },
    /// The component does not fit the engine or the contract: `handle` has a wrong type, an import is not served, or it has too many
    /// memories.
    #[error("the component {digest} does not fit this host")]
    ComponentUnfit {
        /// The component.
        digest: Digest,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// One instance takes more slots of the pool than the host can give it.
    #[error(
        "an instance of the component {digest} takes {slots_count} instance slots (one for each memory, and for each four tables), and this host has {largest_count}: raise host.instances"
    )]
    TooManySlots {
        /// The component.
        digest: Digest,
        /// How many slots it takes.
        slots_count: u32,
        /// The most slots that one instance can have.
        largest_count: u32,
    },
    /// An instance cannot be created now.
    #[error("no instance can be created now")]
    Instance(#[source] Cause),
    /// The component rejected its setup.
    #[error("the component rejected its setup: {reason}")]
    SetupRefused {
        /// The component's reason.
        reason: String,
    },
    /// The component crashed in its setup.
    #[error("setup of the component crashed: {reason}")]
    SetupFailed {
        /// The cause.
        reason: String,
    },
    /// The entry does not fit the component.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The component cannot be run for the entry, or a name used by the host is invalid.
    #[error("{problem}")]
    Entry {
        /// The topic or parameter, the problem, and the fix.
        problem: String,
    },
    /// The name is not valid for its use in the host.
    #[error("{what} is not a valid name")]
    Name {
        /// The kind of name, with the string.
        what: String,
        /// The problem.
        #[source]
        source: weir_pubsub::NameError,
    },
    /// The broker refuses an operation of the host.
    #[error("the broker refused an operation")]
    Pubsub(#[from] weir_pubsub::PubsubError),
}

impl RuntimeError {
    /// Whether a retry with nothing changed cannot succeed.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            RuntimeError::Component { .. }
                | RuntimeError::ComponentUnfit { .. }
                | RuntimeError::Unfit(_)
                | RuntimeError::Entry { .. }
                | RuntimeError::Name { .. }
                | RuntimeError::TooManySlots { .. }
        )
    }
}

/// The fix for authors of JavaScript: componentize-js imports HTTP unless configured otherwise.
fn http_hint(needs: &str) -> &'static str {
    match needs.contains("wasi:http") {
        true => ". A component in JavaScript: use `weir build`, or pass disableFeatures: ['http', 'fetch-event'] to componentize-js",
        false => "",
    }
}
