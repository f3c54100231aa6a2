//! TrustGraph's own programs, unmodified and from their public packages, against a real Weir, and other programs that share its broker.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod config;
mod flows;
mod frames;
mod hostile;
mod own_node;
pub(crate) mod peer;
mod processors;
mod pulsar;
mod services;
mod subscribers;
mod tools;
