//! Faults of brokers, networks and processes, for tests of every external broker: what must hold is the same on each.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod failpoints;
pub(crate) mod fixture;
pub(crate) mod killed;
pub(crate) mod load;
mod orders;
pub(crate) mod rounds;
pub(crate) mod space;
pub(crate) mod takeover;
