//! The RabbitMQ that tests run against: the shared node, nodes of a test's own, and that nothing of them is left.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod components;
mod deleting;
mod faults;
mod foreign;
mod given_up;
mod in_the_way;
mod killed;
mod load;
mod orphans;
mod own_node;
pub(crate) mod place;
mod policies;
mod preparing;
mod quorum;
mod refusals;
mod roles;
mod rounds;
mod shared;
mod steps;
mod takeover;
pub(crate) mod up;
