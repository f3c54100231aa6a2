//! Outputs: messages sent together with settling an input.

use crate::message::Message;
use crate::topic::Topic;

/// A message that is sent together with settling its input.
#[derive(Clone, Debug)]
pub struct Output {
    /// The destination.
    pub topic: Topic,
    /// The message to send; one without an id gets a random one if its topic has queues.
    pub message: Message,
    /// Whether the topic must have a queue.
    pub routing: Routing,
}

/// What a `flow` or `request` topic must have for an output to be sent. Has no effect on `response` and `notify` topics: without a subscriber the
/// message is dropped, without an error and without being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The topic is expected to be consumed: a missing queue is an error (`QueueNotFound`), not a silent loss.
    Required,
    /// Without a queue the message is dropped and counted.
    Optional,
}
