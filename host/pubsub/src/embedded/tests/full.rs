//! A disk filled by other programs: a small tmpfs, mounted for the test, which requires root.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::queue_view::shown;
use crate::backend::{Backend, ConsumerOptions, Inspect, Output, QueueSpec, Routing, Settled};
use crate::embedded::{DiskUse, EmbeddedBroker, EmbeddedOptions};
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::Queue;

const DISK_BYTES: u64 = 64 << 20;

/// A separate disk; unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status().unwrap();
        assert!(mounted.success(), "this test mounts a tmpfs: run it as root");
        Disk(folder)
    }

    fn queues(&self) -> std::path::PathBuf {
        self.0.path().join("queues")
    }

    /// Fills the disk completely, and takes space that becomes free, until the filler is dropped.
    fn fill(&self) -> Filler {
        let (path, stop) = (self.0.path().join("filler"), Arc::new(AtomicBool::new(false)));
        let (is_stopped, (full, is_full)) = (stop.clone(), std::sync::mpsc::sync_channel(1));
        let file = path.clone();
        let thread = std::thread::spawn(move || {
            let mut file = File::create(file).unwrap();
            while !is_stopped.load(Ordering::Relaxed) {
                if file.write_all(&[0; 4096]).is_err() {
                    let _ = full.try_send(());
                    std::thread::yield_now();
                }
            }
        });
        is_full.recv().unwrap();
        Filler { path, stop, thread: Some(thread) }
    }

    fn reserve_bytes(&self) -> u64 {
        std::fs::metadata(self.queues().join("reserve")).map_or(0, |found| found.blocks() * 512)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

struct Filler {
    path: std::path::PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::fs::remove_file(&self.path).unwrap();
    }
}

fn queue(name: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

fn open(disk: &Disk, disk_reserve_percent: u64) -> Arc<EmbeddedBroker> {
    let options = EmbeddedOptions { segment_bytes: 1 << 20, cached_bytes: 0, disk_reserve_percent, ..EmbeddedOptions::default() };
    EmbeddedBroker::open(&disk.queues(), options).unwrap()
}

async fn publish(broker: &EmbeddedBroker, name: &str, bytes: usize) -> Result<()> {
    broker.producer(queue(name).topic()).await.unwrap().publish_confirmed(Message::new(vec![1; bytes])).await
}

/// Settles this many messages of `in`; each produces a small message in `out`.
async fn work(broker: &EmbeddedBroker, count: usize) {
    let (from, to) = (queue("in"), queue("out"));
    let reader = broker.consumer(from.topic(), from.subscription(), ConsumerOptions::default()).await.unwrap();
    for _ in 0..count {
        let delivery = tokio::time::timeout(Duration::from_secs(20), reader.receive()).await.expect("no message").unwrap();
        let outputs = vec![Output { topic: to.topic().clone(), message: Message::new("done"), routing: Routing::Required }];
        assert_eq!(broker.settle(&delivery.receipt, outputs).await.unwrap(), Settled::Done { dropped_count: 0 });
    }
}

async fn depth(broker: &EmbeddedBroker, name: &str) -> u64 {
    broker.stats(&queue(name)).await.unwrap().depth_count.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settles_succeed_on_a_full_disk_while_publishers_are_refused() {
    for disk_reserve_percent in [5, 0] {
        let disk = Disk::mount();
        let broker = open(&disk, disk_reserve_percent);
        for name in ["in", "out", "gone"] {
            broker.create_queue(&QueueSpec::new(queue(name))).await.unwrap();
        }
        for _ in 0..1500 {
            publish(&broker, "in", 10_000).await.unwrap();
        }
        assert!(disk.reserve_bytes() >= 1 << 20);
        let filler = disk.fill();
        work(&broker, 500).await;
        let refused = publish(&broker, "in", 10_000).await.unwrap_err();
        assert!(matches!(refused, PubsubError::QueueFull { .. }), "{refused}");
        broker.delete_queue(&queue("gone"), crate::backend::Delete::Always).await.unwrap();
        let first = shown(&broker, &queue("in"), 1).await[0].named();
        assert!(broker.remove(&queue("in"), &first).await.unwrap());
        broker.close().await;
        // The next process finds a full disk without a reserve.
        let broker = open(&disk, disk_reserve_percent);
        assert_eq!((depth(&broker, "in").await, depth(&broker, "out").await), (999, 500));
        work(&broker, 499).await;
        drop(filler);
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while publish(&broker, "in", 10_000).await.is_err() || disk.reserve_bytes() < 1 << 20 {
            assert!(tokio::time::Instant::now() < end, "the disk is free, and publishers are refused or the reserve is missing");
            tokio::task::yield_now().await;
        }
        work(&broker, 500).await;
        assert_eq!(depth(&broker, "out").await, 1499);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserved_share_of_the_disk_accounts_for_bytes_written() {
    let disk = Disk::mount();
    let broker = open(&disk, 20);
    broker.create_queue(&QueueSpec::new(queue("in"))).await.unwrap();
    let producer = broker.producer(queue("in").topic()).await.unwrap();
    // Much faster than one measurement per second.
    let refused = loop {
        if let Err(error) = producer.publish_confirmed(Message::new(vec![1; 100_000])).await {
            break error;
        }
    };
    assert!(matches!(refused, PubsubError::QueueFull { .. }), "{refused}");
    let left = DiskUse::of(&disk.queues()).unwrap();
    assert!(left.free_bytes > DISK_BYTES / 100 * 19, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_messages_are_copied_forward_on_a_disk_too_full_for_publishers() {
    let disk = Disk::mount();
    let broker = open(&disk, 20);
    for name in ["dead", "in", "out"] {
        broker.create_queue(&QueueSpec::new(queue(name))).await.unwrap();
    }
    publish(&broker, "dead", 16).await.unwrap();
    while publish(&broker, "in", 100_000).await.is_ok() {}
    let count = depth(&broker, "in").await as usize;
    let filler = disk.fill();
    work(&broker, count).await;
    drop(filler);
    // Only the old message is left; its segment does not keep those after it.
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while DiskUse::of(&disk.queues()).unwrap().free_bytes < DISK_BYTES / 100 * 85 {
        assert!(tokio::time::Instant::now() < end, "{:?}", DiskUse::of(&disk.queues()));
        tokio::task::yield_now().await;
    }
    assert_eq!(depth(&broker, "dead").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_cannot_be_made_on_a_full_disk_until_it_has_room() {
    let disk = Disk::mount();
    open(&disk, 0).close().await;
    std::fs::remove_file(disk.queues().join("reserve")).unwrap();
    let filler = disk.fill();
    let broker = open(&disk, 0);
    let spec = |number: u32| QueueSpec::new(queue(&format!("q{number}")));
    // The rest of the log's last block has room for some.
    let mut made_count = 0;
    let refused = loop {
        match broker.create_queue(&spec(made_count)).await {
            Ok(()) => made_count += 1,
            Err(error) => break error,
        }
        assert!(made_count < 1_000, "queues are made on a full disk");
    };
    assert!(matches!(refused, PubsubError::QueueFull { .. }), "{refused}");
    let ensured = broker.ensure_queue(&spec(made_count)).await.unwrap_err();
    assert!(matches!(ensured, PubsubError::QueueFull { .. }), "{ensured}");
    assert!(!broker.queue_exists(&spec(made_count).queue).await.unwrap(), "what was refused is not there");
    let request = QueueSpec::new(Queue::new("request:tg:a".parse().unwrap(), "s".parse().unwrap()).unwrap());
    broker.create_queue(&request).await.expect("requests need no disk");
    drop(filler);
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while broker.create_queue(&spec(made_count)).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "the disk is free, and no queue can be made");
        tokio::task::yield_now().await;
    }
    broker.close().await;
    let broker = open(&disk, 0);
    for number in 0..=made_count {
        assert!(broker.queue_exists(&spec(number).queue).await.unwrap(), "queue {number} is gone");
    }
}
