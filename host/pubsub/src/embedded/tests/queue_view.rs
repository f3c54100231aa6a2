//! Views of a queue for tests.

use crate::backend::{BrowseStart, Browsed, Inspect};
use crate::embedded::EmbeddedBroker;
use crate::message::Message;
use crate::topic::Queue;

/// The waiting messages of a queue, with whole bodies.
pub(super) async fn shown(broker: &EmbeddedBroker, queue: &Queue, limit_count: u32) -> Vec<Browsed> {
    broker.browse(queue, BrowseStart::Oldest, limit_count, usize::MAX).await.unwrap().messages
}

/// The waiting messages of a queue.
pub(super) async fn messages(broker: &EmbeddedBroker, queue: &Queue, limit_count: u32) -> Vec<Message> {
    shown(broker, queue, limit_count).await.into_iter().map(|browsed| browsed.message.unwrap()).collect()
}

/// The figures of a queue, all of which this broker reports.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) depth_count: u64,
    pub(super) damaged_count: u64,
}

/// The content and losses of a queue.
pub(super) async fn figures(broker: &EmbeddedBroker, queue: &Queue) -> Figures {
    let stats = broker.stats(queue).await.unwrap();
    Figures { depth_count: stats.depth_count.unwrap(), damaged_count: stats.damaged_count.unwrap() }
}
