//! What leaves together with the settling of a message.

use crate::message::Message;
use crate::topic::Topic;

/// A message that leaves together with the settling of its cause.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where it goes.
    pub topic: Topic,
    /// The message to send; one without an id gets a random one if its topic has queues.
    pub message: Message,
    /// Whether a queue must be there.
    pub routing: Routing,
}

/// What a `flow` or `request` topic must have for an output to be sent. It has no effect on `response` and `notify` topics: without a subscriber the
/// message is dropped, without an error and without being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// It is known to be consumed: no queue is an error (`QueueNotFound`), not a silent loss.
    Required,
    /// Without a queue the message is dropped and counted.
    Optional,
}
