//! Blueprints, flows and the queues that they use.
//!
//! A flow service owns every queue that flows use. It reads and writes configuration only through the config service's client, and tells
//! processors what to do by entries (`processor:NAME`). Deciding and acting are apart: planning is pure, executing a plan is not.

pub mod blueprint;
mod client;
mod error;
pub mod parameters;
pub mod plan;
pub mod protocol;
mod settings;
pub mod template;

pub use client::{FlowClient, FlowDescription, StartFlow};
pub use error::{FlowError, Result};
pub use settings::FlowSettings;
