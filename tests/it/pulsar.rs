//! The Pulsar that tests run against: what its backend must fulfil beyond the promises of every broker, and the real binary on it.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

pub(crate) mod connection;
mod dead_letters;
mod faults;
mod fixture;
mod foreign;
mod in_the_way;
mod orphans;
mod own_node;
mod preparing;
mod processes;
mod refusals;
mod secured;
mod traps;
mod up;
