//! The host of processors: components between queues.
//!
//! `host` follows the configuration; for every variant that is wanted a `keeper` starts, swaps and ends a `processor`, which has for each
//! input a consumer, workers and a settler. A `worker` has each message handled by its `instance` of the variant's `program` and hands it
//! to the `settler` together with what was sent; what all of them hold of that is bounded by `outputs`.

mod background;
mod bindings;
mod board;
mod caches;
mod check;
mod component;
mod config_state;
mod console;
mod consumed;
mod contract;
mod engine;
mod engine_start;
mod error;
mod failure;
mod fetched;
mod following;
mod generation;
mod giving_up;
mod guest;
mod hollow;
mod host;
mod imports;
mod inspect;
mod instance;
mod keeper;
mod memory;
mod outputs;
mod oversized;
mod processor;
mod program;
mod receiving;
mod reconcile;
mod renewals;
mod reporting;
mod settler;
mod slots;
mod status;
mod suspects;
mod waits;
mod wants;
mod worker;

pub use check::Checker;
pub use component::Loaded;
pub use engine::Engine;
pub use engine_start::EngineStart;
pub use error::{Blame, Cause, ComponentFault, RuntimeError, WORLD_VERSION};
pub use failure::FaultKind;
pub use fetched::{ComponentsAtHand, FetchedComponents};
pub use host::{DEFAULT_OUTPUTS_BYTES, Host, HostSettings, Stopped};
pub use inspect::{DESCRIPTOR_SECTION, Inspected, digest_of, inspect};
pub use instance::{Answered, Fault, Handled, Instance, Outcome};
pub use program::{Program, Surroundings};
pub use reconcile::{GivenComponent, Served};
