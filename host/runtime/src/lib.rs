//! The host of processors: components between queues.
//!
//! `host` follows the configuration; for every desired variant a `variant_supervisor` starts, swaps and stops a `processor`, which has a
//! consumer, workers and a settler for each input. A `worker` passes each message to its `instance` of the variant's `program`, and then
//! hands it to the `settler` together with the messages sent; `output_budget` limits how much of these all of them hold.
//!
//! A component can be inspected without running or compiling it:
//!
//! ```
//! use weir_runtime::{DESCRIPTOR_SECTION, digest_of, inspect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::borrow::Cow;
//! # use wasm_encoder::{Component, ComponentExportKind, ComponentExportSection, ComponentTypeSection, CustomSection, InstanceType};
//! # use wasm_encoder::{ComponentImportSection, ComponentTypeRef};
//! # let mut component = Component::new();
//! # let mut types = ComponentTypeSection::new();
//! # types.instance(&InstanceType::new());
//! # component.section(&types);
//! # let mut imports = ComponentImportSection::new();
//! # imports.import("example:empty/instance", ComponentTypeRef::Instance(0));
//! # component.section(&imports);
//! # let mut exports = ComponentExportSection::new();
//! # exports.export("weir:processor/handler@0.1.0", ComponentExportKind::Instance, 0, None);
//! # component.section(&exports);
//! # let descriptor = br#"{"schema": 1, "consumers": ["input"]}"#;
//! # component.section(&CustomSection { name: Cow::Borrowed(DESCRIPTOR_SECTION), data: Cow::Borrowed(descriptor) });
//! # let bytes = component.finish();
//! // `bytes` are those of a file that `weir build` made.
//! let inspected = inspect(&bytes)?;
//! assert_eq!(inspected.world, "0.1.0");
//! assert_eq!(inspected.digest, digest_of(&bytes));
//! assert_eq!(inspected.descriptor.consumers[0].name, "input");
//! # Ok(())
//! # }
//! ```
//!
//! A component is run by a [`Host`]; for benches and the tests of authors, an [`Instance`] can be used alone:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use weir_config::Change;
//! use weir_config::records::{ComponentRecord, ComponentRef, Entry};
//! use weir_pubsub::{Backend, Message};
//! use weir_runtime::{Engine, Instance, CompiledComponent, Outcome, Program, ProgramEnvironment, inspect};
//!
//! # async fn example(bytes: &[u8], backend: Arc<dyn Backend>, entry: Entry) -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(4, "code-cache".as_ref())?;
//! let loaded = Arc::new(CompiledComponent::of_bytes(&engine, bytes)?);
//! let record = ComponentRecord::from(inspect(bytes)?);
//! let component = ComponentRef { name: "summarizer".to_owned(), version: "1.0.0".to_owned(), digest: record.digest };
//! let environment = ProgramEnvironment { backend, stop: Default::default(), defaults: Default::default() };
//! let program = Arc::new(Program::new(("summarizer", "news"), &entry, component, &record, loaded, environment)?);
//!
//! let mut instance = Instance::start_alone(&program, Change::default()).await?;
//! match instance.handle(0, &Message::new(r#"{"text": "long"}"#), 1).await {
//!     Outcome::Done(handled) => println!("{} messages to send", handled.outputs.len()),
//!     Outcome::Failed(fault) => println!("{}", fault.reason),
//! }
//! # Ok(())
//! # }
//! ```

mod background;
mod bindings;
mod caches;
mod call;
mod check;
mod code_cache;
mod component;
mod config_state;
mod console;
mod consumed;
mod contract;
mod dead_lettering;
mod deployments;
mod desired;
mod desired_state;
mod engine;
mod engine_start;
mod error;
mod failure;
mod fetched;
mod generation;
mod guest;
mod host;
mod host_context;
mod imports;
mod in_use;
mod input_receiver;
mod inspect;
mod instance;
mod memory;
mod memory_limit;
mod message_trace;
mod outcome;
mod output_budget;
mod oversized;
mod processor;
mod program;
mod reconcile;
mod replacements;
mod reporting;
mod routes;
mod settler;
mod slots;
mod status;
mod status_board;
mod stub;
mod suspects;
mod untimed_waits;
mod variant;
mod variant_supervisor;
mod worker;

pub use check::Checker;
pub use component::CompiledComponent;
pub use deployments::GivenComponent;
pub use desired::Served;
pub use engine::Engine;
pub use engine_start::EngineStart;
pub use error::{Cause, ComponentFault, RuntimeError, WORLD_VERSION};
pub use failure::FaultKind;
pub use fetched::{FetchedComponents, LocalComponents};
pub use host::{DEFAULT_OUTPUTS_BYTES, Host, HostSettings, Stopped};
pub use inspect::{DESCRIPTOR_SECTION, Inspected, digest_of, inspect};
pub use instance::Instance;
pub use outcome::{Answered, Fault, Handled, Outcome};
pub use program::Program;
pub use variant::ProgramEnvironment;
