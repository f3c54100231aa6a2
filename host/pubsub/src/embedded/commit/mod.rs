//! Commit.

mod admission;
mod appender;
mod inbox;
mod records;
mod restore;
mod retries;
mod shared;
mod thread;
mod upkeep;
mod writer;

pub(crate) use self::restore::restore;
pub(crate) use self::shared::Shared;
pub(crate) use self::thread::start;
