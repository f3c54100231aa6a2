//! The state machine: which messages the queues have, and which consumer holds which. It does no IO and never waits.
//!
//! - `queues`: the state, guarded by one lock, with its queues and the subscribers of each topic; `queue`, `entry`, `stored`, `live`: what a queue
//!   consists of; `in_memory`: queues and mailboxes that skip the log.
//! - `consumer`, `window`: what a consumer may hold and holds; `dispatch`: which messages it gets.
//! - `operation`: requests to change durable state; `decide` turns them into steps (`step`) of a group (`group`), which are not visible yet; `apply`
//!   makes written steps visible and undoes those that could not be written.
//! - `compaction`: which messages are copied so that their segment can be removed.

mod apply;
mod compaction;
mod consumer;
mod decide;
mod dispatch;
mod entry;
mod group;
mod in_memory;
mod live;
mod operation;
mod queue;
mod queues;
mod step;
mod stored;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod window;

pub(crate) use self::compaction::{Compaction, Copied, is_due as is_compaction_due};
pub(crate) use self::consumer::{Body, Prefetch, Prefetched, Slot};
pub(crate) use self::entry::{Counting, Entry, sharers};
pub(crate) use self::group::Group;
pub(crate) use self::operation::{Operation, Outgoing, Permit, Redriven};
pub(crate) use self::queues::{Bounded, BrokerState};
pub(crate) use self::step::{CopySource, Reason, StateChange};
pub(crate) use self::stored::Stored;
