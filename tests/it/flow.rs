//! The flow service over the embedded broker and the real config service.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod cut;
mod errors;
mod leader;
mod orphans;
mod parameters;
mod readers;
mod refuse;
mod refused;
mod resume;
mod services;
mod start;
mod stop;
mod supervision;
mod support;
mod swap;
mod wire;
