//! The Pulsar that tests run against: what its backend must keep beyond the promises of every broker, and the real binary on it.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod preparing;
mod traps;
mod up;
