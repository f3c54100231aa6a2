//! Looking into queues of a broker that can show everything: for the checks of tests.

use weir_pubsub::{Backend, BrowseStart, Message, PubsubError, Queue};

/// The content of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Its messages, including those in flight.
    pub depth_count: u64,
    /// Messages that consumers hold.
    pub unsettled_count: u64,
    /// Its consumers.
    pub consumer_count: u64,
}

/// The figures of a queue.
///
/// # Errors
/// `QueueNotFound`.
pub async fn figures(backend: &dyn Backend, queue: &Queue) -> Result<Figures, PubsubError> {
    let stats = backend.inspect().stats(queue).await?;
    let known = "this broker counts";
    Ok(Figures {
        depth_count: stats.depth_count.expect(known),
        unsettled_count: stats.unsettled_count.expect(known),
        consumer_count: stats.consumer_count.expect(known),
    })
}

/// How many messages a queue holds.
pub async fn depth(backend: &dyn Backend, queue: &Queue) -> u64 {
    figures(backend, queue).await.unwrap().depth_count
}

/// The messages waiting in a queue, complete and in order; at most this many.
pub async fn messages(backend: &dyn Backend, queue: &Queue, limit_count: u32) -> Vec<Message> {
    let page = backend.inspect().browse(queue, BrowseStart::Oldest, limit_count, usize::MAX).await.unwrap();
    page.messages.into_iter().map(|browsed| browsed.message.unwrap()).collect()
}

/// Puts a message into a queue, which must be the only one of its topic.
///
/// # Errors
/// As for a publish.
pub async fn put(backend: &dyn Backend, queue: &Queue, message: Message) -> Result<(), PubsubError> {
    backend.producer(queue.topic()).await?.publish_confirmed(message).await
}
