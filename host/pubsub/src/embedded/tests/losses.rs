//! The broker while parts of its log are truncated, overwritten or removed, at runtime or before it starts.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::queue_view::figures;
use crate::backend::{Backend, Consumer, ConsumerOptions, QueueSpec};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode, lost_mark};
use crate::message::Message;
use crate::topic::Queue;

const SEGMENT_BYTES: u64 = 8 << 10;
const COUNT: usize = 300;
const PAGE_BYTES: usize = 2048;

/// How a segment is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    CutToNothing,
    Removed,
    Zeroed,
    PageZeroed,
}

const FAULTS: [Fault; 5] = [Fault::Cut, Fault::CutToNothing, Fault::Removed, Fault::Zeroed, Fault::PageZeroed];

impl Fault {
    fn strike(self, path: &Path) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        match self {
            Fault::Cut => file.set_len(length / 2 + 7).unwrap(),
            Fault::CutToNothing => file.set_len(0).unwrap(),
            Fault::Removed => std::fs::remove_file(path).unwrap(),
            Fault::Zeroed => file.write_all_at(&vec![0; length as usize], 0).unwrap(),
            Fault::PageZeroed => file.write_all_at(&[0; PAGE_BYTES], PAGE_BYTES as u64).unwrap(),
        }
    }
}

/// Which segment is damaged.
#[derive(Clone, Copy, Debug)]
enum Which {
    Oldest,
    Middle,
    NewestButOne,
}

impl Which {
    fn of(self, folder: &Path) -> PathBuf {
        let all = segments(folder);
        let at = match self {
            Which::Oldest => 0,
            Which::Middle => all.len() / 2,
            Which::NewestButOne => all.len() - 2,
        };
        all[at].clone()
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    found.sort();
    found
}

fn log_bytes(folder: &Path) -> u64 {
    // A segment may be removed between the two calls.
    segments(folder).iter().map(|path| path.metadata().map_or(0, |found| found.len())).sum()
}

fn queue(name: &str) -> Queue {
    Queue::new(format!("flow:tg:{name}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

/// Small segments and no cache, so that everything is read back.
fn open(folder: &Path) -> Arc<EmbeddedBroker> {
    open_with(folder, 0)
}

fn open_with(folder: &Path, cached_bytes: u64) -> Arc<EmbeddedBroker> {
    let options = EmbeddedOptions { sync: SyncMode::None, segment_bytes: SEGMENT_BYTES, cached_bytes, ..EmbeddedOptions::default() };
    EmbeddedBroker::open(folder, options).unwrap()
}

async fn with_queues(folder: &Path, names: &[&str], cached_bytes: u64) -> Arc<EmbeddedBroker> {
    let broker = open_with(folder, cached_bytes);
    for name in names {
        broker.create_queue(&QueueSpec::new(queue(name))).await.unwrap();
    }
    broker
}

async fn publish(broker: &EmbeddedBroker, name: &str, numbers: std::ops::Range<usize>) {
    let producer = broker.producer(queue(name).topic()).await.unwrap();
    for number in numbers {
        producer.publish_confirmed(Message::new(format!("{number:06}{}", "x".repeat(200)))).await.unwrap();
    }
}

async fn consumer(broker: &EmbeddedBroker, name: &str, window: u32) -> Box<dyn Consumer> {
    let queue = queue(name);
    let options = ConsumerOptions { window: NonZeroU32::new(window).unwrap(), ..ConsumerOptions::default() };
    broker.consumer(queue.topic(), queue.subscription(), options).await.unwrap()
}

async fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it must come soon")
}

/// Settles the next message; returns its number.
async fn take_one(broker: &EmbeddedBroker, reader: &dyn Consumer) -> usize {
    let delivery = within_deadline(reader.receive()).await.unwrap();
    broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
    std::str::from_utf8(&delivery.message.body[..6]).unwrap().parse().unwrap()
}

/// Settles all messages up to the one with this number; returns those received.
async fn take_until(broker: &EmbeddedBroker, name: &str, last: usize) -> Vec<usize> {
    let reader = consumer(broker, name, 16).await;
    let mut taken = Vec::new();
    while taken.last() != Some(&last) {
        taken.push(take_one(broker, &*reader).await);
    }
    taken
}

/// A folder with messages of a queue that is not read, and of a second one that is half settled, in many segments.
async fn backlog(folder: &Path) {
    let broker = with_queues(folder, &["dead", "busy"], 0).await;
    let reader = consumer(&broker, "busy", 4).await;
    for number in 0..COUNT {
        publish(&broker, "dead", number..number + 1).await;
        publish(&broker, "busy", number..number + 1).await;
        if number % 2 == 1 {
            assert_eq!(take_one(&broker, &*reader).await, number / 2);
        }
    }
    drop(reader);
    broker.close().await;
    assert!(segments(folder).len() > 12, "{}", segments(folder).len());
}

#[tokio::test]
async fn losses_in_old_segments_are_counted_on_opening_and_the_rest_is_served() {
    for which in [Which::Oldest, Which::Middle, Which::NewestButOne] {
        for fault in FAULTS {
            let folder = tempfile::tempdir().unwrap();
            backlog(folder.path()).await;
            fault.strike(&which.of(folder.path()));
            let broker = open(folder.path());
            let report = broker.opening_report().clone();
            let case = format!("{which:?} {fault:?} {report:?}");
            let dead = figures(&broker, &queue("dead")).await;
            assert!(dead.damaged_count > 0 && dead.damaged_count < 60, "{case}");
            assert_eq!(dead.depth_count + dead.damaged_count, COUNT as u64, "exact where nothing was read: {case}");
            let taken = take_until(&broker, "dead", COUNT - 1).await;
            let damaged_count = figures(&broker, &queue("dead")).await.damaged_count;
            assert_eq!(taken.len() as u64 + damaged_count, COUNT as u64, "{case}");
            assert!(taken.is_sorted() && taken.iter().collect::<BTreeSet<_>>().len() == taken.len(), "{case}");
            // All unsettled messages that were not lost are delivered; a few settled ones may be redelivered.
            let taken: BTreeSet<usize> = take_until(&broker, "busy", COUNT - 1).await.into_iter().collect();
            let busy = figures(&broker, &queue("busy")).await;
            let absent_count = (COUNT / 2..COUNT).filter(|number| !taken.contains(number)).count() as u64;
            assert!(absent_count <= busy.damaged_count, "{absent_count} of {}: {case}", busy.damaged_count);
            assert!(taken.len() >= COUNT / 2 - 30, "{case}");
            // The broker continues, also after the next start.
            publish(&broker, "dead", COUNT..COUNT + 50).await;
            broker.close().await;
            drop(broker);
            let broker = open(folder.path());
            assert_eq!(take_until(&broker, "dead", COUNT + 49).await, (COUNT..COUNT + 50).collect::<Vec<_>>(), "{case}");
        }
    }
}

#[tokio::test]
async fn losses_in_old_segments_at_run_time_stop_neither_copying_nor_the_next_start() {
    for which in [Which::Oldest, Which::Middle, Which::NewestButOne] {
        for fault in FAULTS {
            let folder = tempfile::tempdir().unwrap();
            let broker = with_queues(folder.path(), &["dead", "busy"], 0).await;
            publish(&broker, "dead", 0..COUNT).await;
            fault.strike(&which.of(folder.path()));
            let reader = consumer(&broker, "busy", 4).await;
            // Enough to copy all remaining messages once or more; pausing after each damaged message would let the log grow.
            let allowed = 4 * (COUNT as u64 * 320) + 2 * SEGMENT_BYTES;
            for number in 0..5 * COUNT {
                publish(&broker, "busy", number..number + 1).await;
                take_one(&broker, &*reader).await;
                let found = log_bytes(folder.path());
                assert!(found <= allowed, "{which:?} {fault:?}: {found} bytes of log, {allowed} are allowed");
            }
            drop(reader);
            let dead = figures(&broker, &queue("dead")).await;
            let case = format!("{which:?} {fault:?} {dead:?}");
            assert!(dead.damaged_count > 0 && dead.damaged_count < 70, "{case}");
            assert_eq!(dead.depth_count + dead.damaged_count, COUNT as u64, "{case}");
            broker.close().await;
            drop(broker);
            let broker = open(folder.path());
            let report = broker.opening_report();
            assert_eq!((report.messages_count, report.missing_count, report.damaged_count), (dead.depth_count, 0, 0), "{case}");
            assert_eq!(take_until(&broker, "dead", COUNT - 1).await.len() as u64, dead.depth_count, "{case}");
        }
    }
}

#[tokio::test]
async fn lost_uncopied_messages_do_not_prevent_the_next_start() {
    for fault in FAULTS {
        let folder = tempfile::tempdir().unwrap();
        let broker = with_queues(folder.path(), &["dead"], 0).await;
        publish(&broker, "dead", 0..COUNT).await;
        fault.strike(&Which::Middle.of(folder.path()));
        broker.close().await;
        drop(broker);
        let broker = open(folder.path());
        let dead = figures(&broker, &queue("dead")).await;
        assert_eq!(dead.depth_count + dead.damaged_count, COUNT as u64, "{fault:?}");
        let taken_count = take_until(&broker, "dead", COUNT - 1).await.len() as u64;
        assert_eq!(taken_count + figures(&broker, &queue("dead")).await.damaged_count, COUNT as u64, "{fault:?}");
    }
}

#[tokio::test]
async fn messages_in_memory_survive_the_loss_of_their_segment() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["dead", "busy"], 64 << 20).await;
    publish(&broker, "dead", 0..COUNT).await;
    for which in [Which::Oldest, Which::Middle] {
        Fault::Removed.strike(&which.of(folder.path()));
    }
    let reader = consumer(&broker, "busy", 4).await;
    for number in 0..5 * COUNT {
        publish(&broker, "busy", number..number + 1).await;
        take_one(&broker, &*reader).await;
    }
    drop(reader);
    broker.close().await;
    drop(broker);
    let broker = open(folder.path());
    assert_eq!(broker.opening_report().missing_count, 0);
    assert_eq!(take_until(&broker, "dead", COUNT - 1).await, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn queues_created_or_deleted_in_a_lost_part_are_recovered_from_the_next_segment() {
    let folder = tempfile::tempdir().unwrap();
    let broker = with_queues(folder.path(), &["old", "dead"], 0).await;
    publish(&broker, "old", 0..20).await;
    publish(&broker, "dead", 0..100).await;
    broker.delete_queue(&queue("old"), crate::backend::Delete::Always).await.unwrap();
    broker.create_queue(&QueueSpec::new(queue("new"))).await.unwrap();
    let changed = segments(folder.path()).len() - 1;
    publish(&broker, "new", 0..100).await;
    broker.close().await;
    drop(broker);
    std::fs::remove_file(&segments(folder.path())[changed]).unwrap();
    let broker = open(folder.path());
    let names: Vec<String> = broker.queues().iter().map(|(queue, _)| queue.topic().to_string()).collect();
    assert_eq!(names, ["flow:tg:dead", "flow:tg:new"]);
    let new = figures(&broker, &queue("new")).await;
    assert!(new.damaged_count > 0 && new.depth_count + new.damaged_count == 100, "{new:?}");
    assert_eq!(take_until(&broker, "new", 99).await.len() as u64, new.depth_count);
}

#[tokio::test]
async fn a_missing_or_damaged_mark_is_reported_except_in_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("MARK");
    let close = async |broker: Arc<EmbeddedBroker>| {
        broker.close().await;
        broker.opening_report().lost_mark
    };
    assert_eq!(close(open(folder.path())).await, None);
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(lost_mark(folder.path()).unwrap(), None, "a crash right after the first segment was made");
    assert_eq!(close(with_queues(folder.path(), &["a"], 0).await).await, None);
    assert_eq!(lost_mark(folder.path()).unwrap(), None);
    for change in [|path: &Path| std::fs::remove_file(path), |path: &Path| std::fs::write(path, "nothing")] {
        change(&mark).unwrap();
        let found = lost_mark(folder.path()).unwrap();
        assert!(found.is_some());
        assert_eq!(close(open(folder.path())).await, found);
        assert_eq!(lost_mark(folder.path()).unwrap(), None, "it is written again");
        assert_eq!(close(open(folder.path())).await, None);
    }
}
