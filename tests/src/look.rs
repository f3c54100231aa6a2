//! Looking into queues of a broker that can show everything: for the checks of tests.

use weir_pubsub::{Backend, Message, Queue, Start};

/// How many messages a queue holds.
pub async fn depth(backend: &dyn Backend, queue: &Queue) -> u64 {
    backend.inspect().stats(queue).await.unwrap().depth_count.expect("the embedded broker counts")
}

/// The messages that wait in a queue, whole and in order; at most so many.
pub async fn messages(backend: &dyn Backend, queue: &Queue, limit_count: u32) -> Vec<Message> {
    let page = backend.inspect().browse(queue, Start::Oldest, limit_count, usize::MAX).await.unwrap();
    page.messages.into_iter().map(|browsed| browsed.message.unwrap()).collect()
}
