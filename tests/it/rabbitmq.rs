//! The RabbitMQ that tests run against: the shared node, nodes of a test's own, and that nothing of them is left.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod faults;
mod own_node;
mod place;
mod preparing;
mod refusals;
mod shared;
mod up;
