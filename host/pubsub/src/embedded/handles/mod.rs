//! The handles that callers hold, and the calls that need more than a lookup in the state.
//!
//! - `consumer`, `producer`: what `Backend::consumer`, `Backend::tap` and `Backend::producer` return.
//! - `lock`: what `Backend::lock` returns.
//! - `settle`, `browse`: settling deliveries, and browsing queues.

mod browse;
mod consumer;
mod lock;
mod producer;
mod settle;

pub(crate) use self::consumer::{MailboxConsumer, QueueConsumer};
pub(crate) use self::producer::TopicProducer;
