//! Many concurrent tasks on one queue: every message arrives once, and no task waits forever.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::RngExt;
use tokio::task::JoinSet;

use super::queue_view::messages;
use crate::backend::{Backend, ConsumerOptions, Inspect, Output, QueueSpec, Routing, Settled};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use crate::message::Message;
use crate::topic::Queue;

const MESSAGES: u32 = 3000;
const READERS: u32 = 4;

fn queue(name: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

fn options(window: u32) -> ConsumerOptions {
    ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() }
}

/// Moves messages from `a` to `b` until all are moved; occasionally requeues one, or leaves with unsettled messages.
async fn read(broker: Arc<EmbeddedBroker>, moved: Arc<AtomicU32>) {
    let (a, b) = (queue("a"), queue("b"));
    while moved.load(Ordering::Relaxed) < MESSAGES {
        let window = rand::rng().random_range(1..100);
        let consumer = broker.consumer(a.topic(), a.subscription(), options(window)).await.unwrap();
        let count = rand::rng().random_range(1..200);
        for _ in 0..count {
            // The last messages may go to other readers.
            let Ok(delivery) = tokio::time::timeout(Duration::from_millis(50), consumer.receive()).await else { break };
            let delivery = delivery.unwrap();
            if rand::rng().random_range(0..20) == 0 {
                broker.requeue(&delivery.receipt).await.unwrap();
                continue;
            }
            let outputs = vec![Output { topic: b.topic().clone(), message: delivery.message, routing: Routing::Required }];
            let settling = broker.settle(&delivery.receipt, outputs);
            let moved = moved.clone();
            tokio::spawn(async move {
                if settling.await.unwrap() == (Settled::Done { dropped_count: 0 }) {
                    moved.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
}

async fn publish(broker: Arc<EmbeddedBroker>, from: u32) {
    let producer = broker.producer(queue("a").topic()).await.unwrap();
    for number in (from..MESSAGES).step_by(READERS as usize) {
        producer.publish_confirmed(Message::new(number.to_le_bytes().to_vec())).await.unwrap();
    }
}

/// Passes messages through a separate queue until all are moved, so that the others are copied forward meanwhile.
async fn run_background_traffic(broker: Arc<EmbeddedBroker>, moved: Arc<AtomicU32>) {
    let noise = queue("noise");
    let producer = broker.producer(noise.topic()).await.unwrap();
    let reader = broker.consumer(noise.topic(), noise.subscription(), options(1)).await.unwrap();
    while moved.load(Ordering::Relaxed) < MESSAGES {
        producer.publish_confirmed(Message::new(vec![0; 2000])).await.unwrap();
        let delivery = reader.receive().await.unwrap();
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_message_arrives_once_while_consumers_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    // Small, so that reading back, new segments and reclaiming are included.
    let small = EmbeddedOptions { segment_bytes: 32 << 10, cached_bytes: 64 << 10, sync: SyncMode::None, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), small).unwrap();
    for name in ["a", "b", "noise"] {
        broker.create_queue(&QueueSpec::new(queue(name))).await.unwrap();
    }
    let moved = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    tasks.spawn(run_background_traffic(broker.clone(), moved.clone()));
    for at in 0..READERS {
        tasks.spawn(publish(broker.clone(), at));
        tasks.spawn(read(broker.clone(), moved.clone()));
    }
    tokio::time::timeout(Duration::from_secs(120), tasks.join_all()).await.expect("somebody waits for ever");
    assert!(broker.commit_stats().copied_bytes_count > 0, "nothing was copied forward");
    let arrived = messages(&broker, &queue("b"), u32::MAX).await;
    let numbers: BTreeSet<Vec<u8>> = arrived.iter().map(|message| message.body.to_vec()).collect();
    assert_eq!((arrived.len() as u32, numbers.len() as u32), (MESSAGES, MESSAGES));
    let left = broker.stats(&queue("a")).await.unwrap();
    assert_eq!((left.depth_count, left.unsettled_count, left.size_bytes), (Some(0), Some(0), Some(0)));
}
