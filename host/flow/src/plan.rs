//! The changes that starting or stopping a flow requires. Nothing here reads or writes anything: a plan is computed from a blueprint, parameters and
//! a snapshot, and executed elsewhere.

mod adopt;
mod components;
mod dangling;
mod directions;
mod draft;
mod ownership;
mod queues;
mod readers;
mod restore;
mod snapshot;
mod start;
mod start_plan;
mod swap;
#[cfg(test)]
mod tests;

pub use self::adopt::{adopt, adopt_without_blueprint};
pub use self::draft::{Draft, DraftProcessor, FlowIdentity};
pub use self::ownership::{Release, owned_queues, release};
pub use self::readers::{Readers, check_readers};
pub use self::restore::{Restored, refusing_record, restore};
pub use self::snapshot::{EntryKey, Snapshot};
pub use self::start::{affected_entries, plan_start, wanted_components};
pub use self::start_plan::{Exits, StartPlan};
pub use self::swap::{Swap, SwapRequest, plan_swap, revert, swapped_component, swapped_entry};
pub use crate::error::{HeldAt, HeldMessages, NotDeployed, PlanRefusal, SwapRefusal, Unserved, UnservedCause};
