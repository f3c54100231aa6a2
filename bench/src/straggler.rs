//! The disk that the log takes beside messages that nothing reads, while a busy neighbour sends through it.

use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, ConsumerOptions, Message, Queue, QueueSpec};

const MIB: u64 = 1 << 20;
/// The size of a message of the neighbour.
const BODY_BYTES: usize = 16 << 10;
/// The maximum of messages in flight: as many as share a flush by their size.
const OUTSTANDING_COUNT: usize = 256;
/// The divisor of a segment for the bytes in flight, so that these are small beside the two segments that are allowed.
const OUTSTANDING_PART: u64 = 8;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The maxima that the watch saw.
#[derive(Clone, Copy, Default)]
struct Seen {
    disk_bytes: u64,
}

/// Messages that nothing reads.
struct Dead {
    name: String,
    count: usize,
    body_bytes: usize,
}

pub(crate) async fn run(through_mib: u64, segment_mib: u64, backlog_mib: u64) -> anyhow::Result<()> {
    let letter = Dead { name: "a dead letter of 16 bytes".to_owned(), count: 1, body_bytes: 16 };
    let count = (backlog_mib * MIB / BODY_BYTES as u64) as usize;
    let backlog = Dead { name: format!("{backlog_mib} MiB that are not read"), count, body_bytes: BODY_BYTES };
    for dead in [letter, backlog] {
        case(&dead, through_mib, segment_mib * MIB).await?;
    }
    Ok(())
}

async fn case(dead: &Dead, through_mib: u64, segment_bytes: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let options = EmbeddedOptions { segment_bytes, queue_high_bytes: 8 << 30, ..EmbeddedOptions::default() };
    let broker = EmbeddedBroker::open(folder.path(), options)?;
    let (unread, busy) = (queue("dead")?, queue("busy")?);
    for queue in [&unread, &busy] {
        broker.create_queue(&QueueSpec::new(queue.clone())).await?;
    }
    let producer = broker.producer(unread.topic()).await?;
    let body = Bytes::from(vec![b'd'; dead.body_bytes]);
    for first in (0..dead.count).step_by(OUTSTANDING_COUNT) {
        let count = OUTSTANDING_COUNT.min(dead.count - first);
        try_join_all((0..count).map(|_| producer.publish_confirmed(Message::new(body.clone())))).await?;
    }
    let began = Instant::now();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(watch(folder.path().to_owned(), stopped));
    let outstanding_bytes = segment_bytes / OUTSTANDING_PART;
    pass(&broker, &busy, through_mib * MIB, (outstanding_bytes as usize / BODY_BYTES).clamp(1, OUTSTANDING_COUNT)).await?;
    let took = began.elapsed();
    drop(stop);
    let seen = watching.await?;
    let stats = broker.inspect().stats(&unread).await?;
    let (left_count, left_bytes) = stats.depth_count.zip(stats.size_bytes).context("they are not counted")?;
    ensure!(left_count == dead.count as u64, "{left_count} of {} messages are left", dead.count);
    let allowed_bytes = 4 * left_bytes + 2 * segment_bytes;
    let commits = broker.commit_stats();
    println!(
        "beside {}, {through_mib} MiB through a neighbour at {:.0} MiB/s: at most {} MiB on the disk, {:.2} of the {} MiB allowed; copied {:.3} of what was written",
        dead.name,
        through_mib as f64 / took.as_secs_f64(),
        seen.disk_bytes / MIB,
        seen.disk_bytes as f64 / allowed_bytes as f64,
        allowed_bytes / MIB,
        commits.copied_bytes_count as f64 / commits.bytes_count as f64,
    );
    ensure!(seen.disk_bytes <= allowed_bytes, "the log took more than four times what lives and two segments");
    Ok(())
}

fn queue(name: &str) -> anyhow::Result<Queue> {
    Ok(Queue::new(format!("flow:tg:{name}:bench").parse()?, "bench".parse()?)?)
}

/// Sends messages through the neighbour's queue. Received messages are settled while the next ones are sent.
async fn pass(broker: &Arc<EmbeddedBroker>, busy: &Queue, bytes: u64, outstanding_count: usize) -> anyhow::Result<()> {
    let body = Bytes::from(vec![b'b'; BODY_BYTES]);
    let producer = broker.producer(busy.topic()).await?;
    let window = u32::try_from(outstanding_count).ok().and_then(NonZeroU32::new).context("no window")?;
    let options = ConsumerOptions { window, ..ConsumerOptions::default() };
    let reader = broker.consumer(busy.topic(), busy.subscription(), options).await?;
    let mut settling = Vec::new();
    for _ in 0..bytes / (BODY_BYTES * outstanding_count) as u64 {
        let sending = try_join_all((0..outstanding_count).map(|_| producer.publish_confirmed(Message::new(body.clone()))));
        tokio::try_join!(
            sending,
            futures_util::TryFutureExt::map_err(try_join_all(std::mem::take(&mut settling)), weir_pubsub::PubsubError::from)
        )?;
        for _ in 0..outstanding_count {
            let delivery = reader.receive().await?;
            settling.push(broker.settle(&delivery.receipt, Vec::new()));
        }
    }
    try_join_all(settling).await?;
    Ok(())
}

/// Watches the folder until stopped.
async fn watch(folder: PathBuf, mut stopped: tokio::sync::oneshot::Receiver<()>) -> Seen {
    let mut seen = Seen::default();
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return seen,
            _ = ticks.tick() => seen.disk_bytes = seen.disk_bytes.max(disk_bytes(&folder)),
        }
    }
}

/// The size of the log's segments; that of the reserve is fixed.
fn disk_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    // A segment may be deleted between the two calls.
    segments.map(|file| file.metadata().map_or(0, |found| found.blocks() * 512)).sum()
}
