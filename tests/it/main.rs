//! Tests that involve several crates, in one binary: a module per topic.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod cli;
mod config;
mod conformance;
mod contract;
mod crash;
mod damage;
mod delivery;
mod demo;
mod deploy;
mod docs;
mod faults;
mod fetching;
mod flow;
mod gateway;
mod guests;
mod handlers;
mod host_fixture;
mod interop;
mod losses;
mod outputs;
mod oversized;
mod pool;
mod project;
mod proxy;
mod pulsar;
mod rabbitmq;
mod refusing;
mod routing;
mod sandbox;
mod sdk;
mod supervision;
mod swap;
mod tidy;
