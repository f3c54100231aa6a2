//! A child process that is killed while it publishes and settles, repeatedly, on one folder.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::RngExt;

use super::queue_view::messages;
use crate::backend::{Backend, ConsumerOptions, Output, QueueSpec, Routing};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions};
use crate::message::Message;
use crate::topic::Queue;

/// The child's folder; without it the child's test does nothing.
const FOLDER: &str = "WEIR_TEST_CRASH_FOLDER";
const ROUNDS: usize = 8;

fn queue(name: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

fn open(folder: &Path) -> Arc<EmbeddedBroker> {
    let options = EmbeddedOptions { segment_bytes: 16 << 10, cached_bytes: 8 << 10, ..EmbeddedOptions::default() };
    EmbeddedBroker::open(folder, options).unwrap()
}

/// Passes messages through a separate queue, so that `a` and `b` are copied forward all the time.
async fn run_background_traffic(broker: Arc<EmbeddedBroker>) {
    let noise = queue("noise");
    broker.ensure_queue(&QueueSpec::new(noise.clone())).await.unwrap();
    let producer = broker.producer(noise.topic()).await.unwrap();
    let reader = broker.consumer(noise.topic(), noise.subscription(), ConsumerOptions::default()).await.unwrap();
    loop {
        producer.publish_confirmed(Message::new(vec![0; 4000])).await.unwrap();
        let delivery = reader.receive().await.unwrap();
        broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
}

/// Publishes numbers to `a`, moves them to `b`, and prints both operations when they are done, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let broker = open(Path::new(&folder));
    for name in ["a", "b"] {
        broker.ensure_queue(&QueueSpec::new(queue(name))).await.unwrap();
    }
    tokio::spawn(run_background_traffic(broker.clone()));
    let (a, b) = (queue("a"), queue("b"));
    let producer = broker.producer(a.topic()).await.unwrap();
    tokio::spawn(async move {
        // The process id distinguishes the numbers of different rounds.
        for at in 0_u64.. {
            let number = format!("{}-{at}", std::process::id());
            producer.publish_confirmed(Message::new(number.clone())).await.unwrap();
            println!("\npublished {number}");
        }
    });
    let reader = broker.consumer(a.topic(), a.subscription(), ConsumerOptions::default()).await.unwrap();
    loop {
        let delivery = reader.receive().await.unwrap();
        let message = Message::new(delivery.message.body.clone());
        let outputs = vec![Output { topic: b.topic().clone(), message, routing: Routing::Required }];
        let settling = broker.settle(&delivery.receipt, outputs);
        tokio::spawn(async move {
            settling.await.unwrap();
            println!("\nmoved {}", std::str::from_utf8(&delivery.message.body).unwrap());
        });
    }
}

/// Starts the child, reads its output up to this many lines, and kills it; returns all lines, including those still in the pipe.
fn run_and_kill(folder: &Path, lines_count: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let told = |line: &String| line.starts_with("published ") || line.starts_with("moved ");
    let mut seen: Vec<String> = lines.by_ref().filter(told).take(lines_count).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be truncated.
    let mut rest: Vec<String> = lines.filter(told).collect();
    rest.pop();
    seen.extend(rest);
    seen
}

async fn content(broker: &EmbeddedBroker, name: &str) -> Vec<String> {
    let seen = messages(broker, &queue(name), u32::MAX).await;
    seen.into_iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn confirmed_operations_survive_kill_9_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut told: BTreeMap<String, &str> = BTreeMap::new();
    for round in 0..ROUNDS {
        let lines_count = rand::rng().random_range(1..400);
        for line in run_and_kill(folder.path(), lines_count) {
            match line.split_once(' ').unwrap() {
                ("moved", number) => told.insert(number.to_owned(), "b"),
                (_, number) => told.insert(number.to_owned(), told.get(number).copied().unwrap_or("a")),
            };
        }
        let broker = open(folder.path());
        let mut positions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in ["a", "b"] {
            for number in content(&broker, name).await {
                positions.entry(number).or_default().push(name);
            }
        }
        for (number, positions) in &positions {
            assert_eq!(positions.len(), 1, "round {round}, killed after {lines_count} lines: {number} is in {positions:?}");
        }
        for (number, position) in &told {
            let found = positions.get(number).map(|positions| positions[0]);
            // A published message may have been moved without the test having read that.
            assert!(
                found == Some(*position) || found == Some("b"),
                "round {round}, killed after {lines_count} lines: {number} in {found:?}"
            );
        }
        broker.close().await;
    }
}
