//! The host of processors: components between queues.
//!
//! `host` follows the configuration; for every variant that is wanted a `keeper` starts, swaps and ends a `processor`, which has for each
//! input a consumer, workers and a settler. A `worker` has each message handled by its `instance` of the variant's `program` and hands it
//! to the `settler` together with what was sent; what all of them hold of that is bounded by `outputs`.

mod background;
mod bindings;
mod board;
mod caches;
mod call;
mod check;
mod code_cache;
mod component;
mod config_state;
mod console;
mod consumed;
mod contract;
mod deployments;
mod engine;
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
mod memory_limit;
mod outcome;
mod outputs;
mod oversized;
mod processor;
mod program;
mod receiving;
mod reconcile;
mod renewals;
mod reporting;
mod routes;
mod settler;
mod slots;
mod status;
mod suspects;
mod variant;
mod waits;
mod wants;
mod worker;

pub use check::Checker;
pub use component::Loaded;
pub use deployments::GivenComponent;
pub use engine::Engine;
pub use error::{Blame, Cause, ComponentFault, RuntimeError, WORLD_VERSION};
pub use failure::FaultKind;
pub use fetched::{ComponentsAtHand, FetchedComponents};
pub use host::{DEFAULT_OUTPUTS_BYTES, Host, HostSettings, Stopped};
pub use inspect::{DESCRIPTOR_SECTION, Inspected, digest_of, inspect};
pub use instance::Instance;
pub use outcome::{Answered, Fault, Handled, Outcome};
pub use program::Program;
pub use reconcile::Served;
pub use variant::Surroundings;
