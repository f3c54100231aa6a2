//! State.

mod apply;
mod compaction;
mod decide;
mod entry;
mod group;
mod in_memory;
mod live;
mod mailbox;
mod operation;
mod queue;
mod queues;
mod slot;
mod slots;
mod step;
mod stored;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod window;

pub(crate) use self::compaction::{Compaction, Copied, is_due as is_compaction_due};
pub(crate) use self::entry::{Counting, Entry, sharers};
pub(crate) use self::group::Group;
pub(crate) use self::mailbox::{BUFFERED_BYTES, BUFFERED_COUNT, Mail, Mailbox, TAPPED_BYTES};
pub(crate) use self::operation::{Operation, Outgoing, Permit, Redriven};
pub(crate) use self::queues::{Bounded, State};
pub(crate) use self::slot::{Body, Prefetch, Prefetched, Slot};
pub(crate) use self::step::{Content, Reason, Step};
pub(crate) use self::stored::Stored;
