//! The RabbitMQ that tests run against: the shared node, separate nodes, and that nothing of them is left behind.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod components;
pub(crate) mod connection;
mod contract;
mod deep;
mod deleting;
mod faults;
mod foreign;
mod given_up;
mod in_the_way;
pub(crate) mod orphans;
mod own_node;
mod policies;
pub(crate) mod preparing;
mod processes;
pub(crate) mod quorum;
mod refusals;
mod roles;
mod shared;
pub(crate) mod up;
