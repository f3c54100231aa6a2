//! A data folder on a disk that another program fills.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use weir_tests::disk::SmallDisk;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{said, start_echo};

/// Bytes held in reserve, for the data folder and for the queues.
fn held_bytes(data: &Path) -> [u64; 2] {
    ["reserve", "queues/reserve"].map(|name| fs::metadata(data.join(name)).map_or(0, |found| found.blocks() * 512))
}

/// Messages at the exit of the flow.
async fn results(weir: &Weir) -> u64 {
    let answer = weir.get("/api/v1/weir/queues").await;
    let exit = answer["queues"].as_array().unwrap().iter().find(|queue| queue["exit"] == "out");
    exit.map_or(0, |queue| queue["depth-count"].as_u64().unwrap())
}

async fn has_results(weir: &Weir, count: u64) {
    eventually(DEADLINE, format!("{count} results"), || async { (results(weir).await == count).then_some(()) }).await;
}

/// A message is accepted, and space is held in reserve again, without a restart.
async fn has_room_again(weir: &Weir, data: &Path) {
    eventually(DEADLINE, "messages to be accepted again", || async {
        weir.run(&["send", "one", "in", "--text", "after"]).await.status.success().then_some(())
    })
    .await;
    eventually(DEADLINE, "space to be held", || async { held_bytes(data).iter().all(|bytes| *bytes >= 1 << 20).then_some(()) }).await;
}

#[tokio::test]
async fn a_full_disk_refuses_only_messages_and_allows_a_start() {
    let disk = SmallDisk::new(96 << 10);
    let data = disk.path().join("data");
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("log");
    let weir = Weir::up_logging_to(&data, &log).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["send", "one", "in", "--text", "before"]).await;
    has_results(&weir, 1).await;
    eventually(DEADLINE, "space to be held", || async { held_bytes(&data).iter().all(|bytes| *bytes >= 1 << 20).then_some(()) }).await;
    disk.fill();
    eventually(DEADLINE, "the space to be given up", || async { (held_bytes(&data)[0] == 0).then_some(()) }).await;
    // Writes of the configuration succeed, a message from outside does not.
    weir.must(&["config", "put", "notes", "a", "1"]).await;
    // One may be accepted before the free space is checked.
    let mut sent_count = 1;
    let refused = loop {
        let sent = weir.run(&["send", "one", "in", "--text", "meanwhile"]).await;
        if !sent.status.success() {
            break sent;
        }
        sent_count += 1;
    };
    assert_eq!(refused.status.code(), Some(69), "{}", said(&refused, &data));
    disk.free();
    has_room_again(&weir, &data).await;
    has_results(&weir, sent_count + 1).await;
    weir.kill();
    disk.fill();
    let weir = Weir::up_logging_to(&data, &log).await;
    assert!(weir.said().contains("disk full at startup") && weir.said().contains("warning: the disk is full"), "{}", weir.said());
    has_results(&weir, sent_count + 1).await;
    assert_eq!(weir.must(&["config", "get", "notes", "a"]).await, "1\n");
    let doctor = weir.run(&["doctor"]).await;
    let found = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.code() == Some(1) && found.contains("fail  disk"), "{found}");
    assert_eq!(weir.end().await.code(), Some(0));
    let weir = Weir::up_logging_to(&data, &log).await;
    disk.free();
    has_room_again(&weir, &data).await;
    has_results(&weir, sent_count + 2).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// Nothing is left to release: the process does without everything it can do without.
#[tokio::test]
async fn a_start_on_a_disk_without_a_single_free_byte_works_with_a_warning() {
    let disk = SmallDisk::new(96 << 10);
    let data = disk.path().join("data");
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("log");
    let weir = Weir::up_logging_to(&data, &log).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["send", "one", "in", "--text", "before"]).await;
    has_results(&weir, 1).await;
    assert_eq!(weir.end().await.code(), Some(0));
    for name in ["reserve", "queues/reserve"] {
        fs::remove_file(data.join(name)).unwrap();
    }
    disk.fill();
    let weir = Weir::up_logging_to(&data, &log).await;
    assert!(weir.said().contains("local commands need --gateway"), "{}", weir.said());
    assert_eq!(results(&weir).await, 1);
    disk.free();
    eventually(DEADLINE, "the address to be noted", || async { data.join("gateway.json").exists().then_some(()) }).await;
    has_room_again(&weir, &data).await;
    has_results(&weir, 2).await;
    weir.must(&["config", "put", "notes", "a", "1"]).await;
    assert_eq!(weir.end().await.code(), Some(0));
}
