//! TrustGraph's own command-line tools, unchanged and from where everybody gets them, against a real `weir up`.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod config;
mod flows;
mod tools;
