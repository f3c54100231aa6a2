//! Ends.

mod browse;
mod consumer;
mod producer;
mod settle;

pub(crate) use self::consumer::{MailboxConsumer, QueueConsumer};
pub(crate) use self::producer::TopicProducer;
