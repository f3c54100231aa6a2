//! The commit thread, the only one that changes durable state. It decides operations in the state machine and writes them to the log, in groups.
//!
//! - `shared`: what it shares with the handles; `admission`, `inbox`: how operations reach it.
//! - `thread`, `writer`: its lifecycle and its loop; `retries`: operations of its own that could not be written.
//! - `appender`: the log together with the state that is stored in it; `records`: steps as records; `restore`: the state from records.
//! - `maintenance`: removal of dead segments and compaction of old ones.

mod admission;
mod appender;
mod inbox;
mod maintenance;
mod records;
mod restore;
mod retries;
mod shared;
mod thread;
mod writer;

pub(crate) use self::restore::restore;
pub(crate) use self::shared::Shared;
pub(crate) use self::thread::start;
