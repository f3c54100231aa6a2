//! What tests of several crates share: components to run, the real binary, waiting with a deadline, the promises of brokers.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

pub mod browser;
pub mod cache;
pub mod certificates;
pub mod chain;
pub mod conformance;
pub mod cutting;
pub mod disk;
pub mod failpoints;
mod guests;
pub mod http;
pub mod look;
mod ports;
pub mod process;
pub mod proxy;
pub mod pulsar;
pub mod rabbitmq;
pub mod roles;
pub mod tally;
pub mod wait;
pub mod weir;

pub use guests::{guest, guest_names, guest_path, marked_guest, redactor_ip_path};
