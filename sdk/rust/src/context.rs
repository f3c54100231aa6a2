//! Where this instance runs and what it is working on. The calls are cheap; only the result of [`remaining`] changes while a message is
//! handled.
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

/// The id of the flow; empty if several flows share the entry or another flow service wrote it.
#[must_use]
pub fn flow() -> String {
    context::flow()
}

/// The variant of the processor that this instance serves: the key of its entry, usually the flow's id or blueprint.
#[must_use]
pub fn variant() -> String {
    context::variant()
}

/// The running deployment, as `NAME@VERSION`.
#[must_use]
pub fn deployment() -> String {
    context::deployment()
}

/// A parameter's value in this variant, as text: as set in the flow, otherwise the descriptor's default, otherwise `None`. See
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

/// The outputs to which this flow gives a topic, by name. Useful only if the descriptor leaves them open (`*`).
#[must_use]
pub fn outputs() -> Vec<String> {
    context::outputs()
}

/// The id of the message being handled: the same in every attempt and redelivery, so it can serve as an idempotency key. Empty in `setup`.
#[must_use]
pub fn message_id() -> String {
    context::message_id()
}

/// The number of this attempt, from 1; may start again at 1 after a crash of the host. 0 in `setup`.
#[must_use]
pub fn attempt() -> u32 {
    context::attempt()
}

/// The time left for this message, including waits for replies; also zero when the host is stopping. At zero the host may end the call at
/// any moment.
#[must_use]
pub fn remaining() -> Duration {
    Duration::from_millis(context::remaining_ms().into())
}
