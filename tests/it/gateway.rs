//! The gateway in process, with the real services behind it: each path, each refusal.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod answers;
mod bounds;
mod components;
mod dead_letters;
mod dispatch;
mod exits;
mod export_streams;
mod exposition;
mod fixture;
mod forwarding;
mod hostile;
mod import_streams;
mod interfaces;
mod metrics;
mod openapi;
mod pages;
mod peer;
mod refusals;
mod reports;
mod scopes;
mod sites;
mod sockets;
mod streams;
mod supervision;
mod taker;
mod tls;
mod token;
mod views;
