//! Blueprints, flows and the queues that they use.
//!
//! A flow service owns every queue that flows use. It reads and writes configuration only through the config service's client, and tells
//! processors what to do by entries (`processor:NAME`). Deciding and acting are apart: planning is pure, executing a plan is not.

pub mod blueprint;
pub mod bounds;
mod client;
mod error;
mod leading;
mod lifecycle;
mod naming;
mod operations;
mod orphans;
pub mod parameters;
pub mod plan;
pub mod protocol;
mod refusals;
mod service;
mod settings;
mod steps;
pub mod template;
mod topics;
mod writes;

pub use client::{FlowClient, FlowDescription, StartFlow};
pub use error::{FlowError, Result};
pub use service::FlowService;
pub use settings::FlowSettings;
