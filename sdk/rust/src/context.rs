//! Where this instance runs and what it is working on. Cheap calls; only [`remaining`] changes while a message is handled.
//!
//! ```
//! use std::time::Duration;
//! use weir::{Failure, Json, Result, context};
//!
//! fn slow(Json(steps): Json<Vec<String>>) -> Result {
//!     for (done, step) in steps.iter().enumerate() {
//!         if context::remaining() < Duration::from_secs(1) {
//!             return Err(Failure::retry(format!("only {done} steps done in attempt {}", context::attempt())));
//!         }
//!         weir::log::debug("step").with("name", step).with("message", context::message_id()).write();
//!     }
//!     Ok(())
//! }
//!
//! weir::processor!(slow);
//! ```

use crate::imports::context;
use std::time::Duration;

/// The processor's name in the flow.
#[must_use]
pub fn processor() -> String {
    context::processor()
}

/// The id of the flow; empty where several flows share the entry or another flow service wrote it.
#[must_use]
pub fn flow() -> String {
    context::flow()
}

/// The variant of the processor that this instance serves: the key of its entry, usually the flow's id or blueprint.
#[must_use]
pub fn variant() -> String {
    context::variant()
}

/// The deployment that runs, as `NAME@VERSION`.
#[must_use]
pub fn deployment() -> String {
    context::deployment()
}

/// A parameter's value in this variant, as text: as set in the flow, else the descriptor's default, else `None`. See
/// [`Params`](crate::Params) for all of them as a struct.
#[must_use]
pub fn parameter(name: &str) -> Option<String> {
    context::parameter(name)
}

/// All parameters, by name.
#[must_use]
pub fn parameters() -> Vec<(String, String)> {
    context::parameters()
}

/// The outputs that this flow gives a topic, by name. Only of interest where the descriptor leaves them open (`*`).
#[must_use]
pub fn outputs() -> Vec<String> {
    context::outputs()
}

/// The id of the message in hand: the same in every attempt and redelivery, so it can serve as an idempotency key. Empty in `setup`.
#[must_use]
pub fn message_id() -> String {
    context::message_id()
}

/// Which attempt this is, from 1; may start again at 1 after a crash of the host. 0 in `setup`.
#[must_use]
pub fn attempt() -> u32 {
    context::attempt()
}

/// The time left for this message, waiting for replies included; zero also when the host wants to stop. At zero the host may end the
/// call at any moment.
#[must_use]
pub fn remaining() -> Duration {
    Duration::from_millis(context::remaining_ms().into())
}
