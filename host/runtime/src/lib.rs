//! The host of processors: components between queues.

mod component;
mod error;

pub use component::{DESCRIPTOR_SECTION, Inspected, digest_of, inspect};
pub use error::{Blame, Cause, ComponentFault, RuntimeError, WORLD_VERSION};
