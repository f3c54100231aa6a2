//! Disks that fail: bytes that change, files that disappear, space that runs out. Lost data is counted and reported, and everything else
//! continues.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, ConsumerOptions, Limits, Message, Queue};
use weir_tests::disk::SmallDisk;
use weir_tests::look::{messages, put};
use weir_tests::wait::{DEADLINE, eventually, pass, within};
use weir_tests::weir::{Weir, run};

use crate::guests;
use crate::host_fixture::{HostFixture, queue};

/// A Weir with a flow of the echo component, stopped, with numbered messages in the queue of its input.
async fn stopped_with_backlog(data: &Path, count: u32) {
    let weir = Weir::up(data).await;
    weir.must(&["deploy", weir_tests::guest_path("echo").to_str().unwrap()]).await;
    let blueprint = json!({
        "description": "sends what comes in on as it is",
        "blueprint": {},
        "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = data.join("blueprint.json");
    fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "echoing", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "echoing", "one"]).await;
    assert_eq!(weir.end().await.code(), Some(0));
    let broker = EmbeddedBroker::open(&data.join("queues"), EmbeddedOptions::default()).unwrap();
    for number in 0..count {
        put(&*broker, &input(), Message::new(body(number))).await.unwrap();
    }
    broker.close().await;
}

fn input() -> Queue {
    queue("flow:tg:in:one", "echo--one--input")
}

fn body(number: u32) -> String {
    json!({"number": number, "mark": format!("body-{number:04}"), "filling": "x".repeat(300)}).to_string()
}

/// The file of the log that contains a text, and its offset.
fn place_of(data: &Path, text: &str) -> (PathBuf, usize) {
    let files = fs::read_dir(data.join("queues")).unwrap().map(|file| file.unwrap().path());
    let find = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        bytes.windows(text.len()).position(|found| found == text.as_bytes()).map(|at| (path, at))
    };
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).find_map(find).unwrap()
}

fn flip(path: &Path, at: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at as u64).unwrap();
}

/// The numbers in the exit of a stopped Weir, in order.
async fn exit_at_rest(data: &Path) -> Vec<u64> {
    let broker = EmbeddedBroker::open(&data.join("queues"), EmbeddedOptions::default()).unwrap();
    let shown = messages(&*broker, &queue("flow:tg:out:one", "gateway--one--out"), u32::MAX).await;
    broker.close().await;
    let number = |message: &Message| serde_json::from_slice::<Value>(&message.body).unwrap()["number"].as_u64().unwrap();
    shown.iter().map(number).collect()
}

async fn input_of(weir: &Weir) -> Option<Value> {
    let status = weir.get("/api/v1/weir/status").await;
    status["queues"].as_array().unwrap().iter().find(|queue| queue["topic"] == "flow:tg:in:one").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_is_set_aside_reported_once_and_blocks_no_other() {
    let data = tempfile::tempdir().unwrap();
    stopped_with_backlog(data.path(), 200).await;
    let (path, at) = place_of(data.path(), "body-0077");
    flip(&path, at - 50);
    let weir = Weir::up(data.path()).await;
    assert!(weir.said().contains("1 of the messages kept ARE DAMAGED"), "{}", weir.said());
    let seen =
        eventually(DEADLINE, "the backlog to be worked off", || async { input_of(&weir).await.filter(|queue| queue["depth-count"] == 0) });
    assert_eq!(seen.await["damaged-count"], 1);
    let doctor = weir.run(&["doctor"]).await;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("flow:tg:in:one (echo--one--input): 1 messages") && said.contains(".damaged"), "{said}");
    let told: Vec<String> = weir.said().lines().filter(|line| line.contains("damaged message set aside")).map(str::to_owned).collect();
    assert!(told.len() == 1 && told[0].contains("sequence") && told[0].contains(".log"), "{told:?}");
    assert_eq!(weir.end().await.code(), Some(0));
    let expected: Vec<u64> = (0..200).filter(|number| *number != 77).collect();
    assert_eq!(exit_at_rest(data.path()).await, expected);
    // It is not redelivered, and the damaged data stays readable for people.
    let weir = Weir::up(data.path()).await;
    assert_eq!(input_of(&weir).await.unwrap()["damaged-count"], 0);
    assert_eq!(weir.end().await.code(), Some(0));
    let kept = weir_pubsub::embedded::damaged_files(&data.path().join("queues")).unwrap();
    assert!(String::from_utf8_lossy(&fs::read(&kept[0]).unwrap()).contains("body-0077"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_a_bit_flip_in_the_last_frame_truncates_nothing() {
    let data = tempfile::tempdir().unwrap();
    stopped_with_backlog(data.path(), 3).await;
    let (path, at) = place_of(data.path(), "body-0002");
    flip(&path, at - 50);
    let weir = Weir::up(data.path()).await;
    eventually(DEADLINE, "the backlog to be worked off", || async { input_of(&weir).await.filter(|queue| queue["depth-count"] == 0) })
        .await;
    assert_eq!(weir.end().await.code(), Some(0));
    assert_eq!(exit_at_rest(data.path()).await, [0, 1]);
    assert!(fs::read_dir(data.path().join("queues")).unwrap().all(|file| !file.unwrap().file_name().to_string_lossy().contains("torn")));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_log_files_are_detected() {
    let data = tempfile::tempdir().unwrap();
    stopped_with_backlog(data.path(), 20).await;
    let (path, _) = place_of(data.path(), "body-0019");
    let aside = data.path().join("aside.log");
    fs::rename(&path, &aside).unwrap();
    let refused = run(data.path(), &["up", "--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(73), "{said}");
    assert!(said.contains("it is missing") && said.contains("held 20 messages") && said.contains("backup"), "{said}");
    let queues = data.path().join("queues");
    assert!(said.contains(&format!("move the folder {} away", queues.display())), "{said}");
    fs::rename(&aside, &path).unwrap();
    let weir = Weir::up(data.path()).await;
    assert!(weir.said().contains("20 messages kept from the previous run"), "{}", weir.said());
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_mark_is_reported_by_the_start_and_doctor() {
    let data = tempfile::tempdir().unwrap();
    stopped_with_backlog(data.path(), 20).await;
    let mark = data.path().join("queues/MARK");
    let doctor = async || String::from_utf8_lossy(&run(data.path(), &["doctor"]).await.stdout).into_owned();
    assert!(!doctor().await.contains("MARK"));
    fs::remove_file(&mark).unwrap();
    let said = doctor().await;
    assert!(said.contains("fail  mark") && said.contains("MARK: the file is missing"), "{said}");
    let weir = Weir::up(data.path()).await;
    assert!(weir.said().contains("LOSS OF THE NEWEST MESSAGES CANNOT BE DETECTED"), "{}", weir.said());
    assert!(weir.said().lines().any(|line| line.contains("ERROR") && line.contains("mark lost")), "{}", weir.said());
    assert!(!doctor().await.contains("MARK"), "it is written again");
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn missing_oldest_files_are_counted_message_by_message() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { sync: SyncMode::None, segment_bytes: 20_000, ..EmbeddedOptions::default() };
    let a = queue("flow:tg:a", "s");
    let broker = EmbeddedBroker::open(folder.path(), options.clone()).unwrap();
    broker.create_queue(&weir_pubsub::QueueSpec::new(a.clone())).await.unwrap();
    for number in 0..200 {
        put(&*broker, &a, Message::new(body(number))).await.unwrap();
    }
    broker.close().await;
    drop(broker);
    fs::remove_file(folder.path().join(format!("{:020}.log", 1))).unwrap();
    let broker = EmbeddedBroker::open(folder.path(), options).unwrap();
    let report = broker.opening_report();
    assert!(report.missing_count > 10, "{report:?}");
    assert_eq!(report.messages_count + report.missing_count, 200, "{report:?}");
    assert_eq!(broker.inspect().stats(&a).await.unwrap().damaged_count, Some(report.missing_count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_is_kept_while_a_disk_repeatedly_fills_and_is_freed() {
    const COUNT: usize = 2_000;
    let disk = SmallDisk::new(24 << 10);
    let options = EmbeddedOptions { sync: SyncMode::None, segment_bytes: 1 << 20, disk_reserve_percent: 0, ..EmbeddedOptions::default() };
    let mut fixture = HostFixture::on(&disk.path().join("queues"), options).await;
    fixture.run(guests::ECHO, &[], |record| record.concurrency = Some(1)).await;
    for number in 0..COUNT {
        fixture.send_text(&format!("{number:06}{}", "x".repeat(2_000))).await;
    }
    fixture.start_host(weir_runtime::Served::All).await;
    let handled = || fixture.status("echo").map_or(0, |status| status.handled_count as usize);
    let mut filled_count = 0;
    while handled() < COUNT {
        disk.fill();
        filled_count += 1;
        pass(Duration::from_millis(150)).await;
        disk.free();
        let before = handled();
        eventually(DEADLINE, "the work to go on by itself", || {
            std::future::ready((handled() > before || handled() == COUNT).then_some(()))
        })
        .await;
    }
    println!("filled {filled_count} times");
    let outputs = fixture.outputs().await;
    for number in 0..COUNT {
        assert!(outputs.next_text().await.starts_with(&format!("{number:06}")), "message {number} is not in its place");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_on_a_full_disk_gets_messages_or_a_reason_and_continues_when_it_is_freed() {
    let disk = SmallDisk::new(8 << 10);
    let folder = disk.path().join("queues");
    let a = queue("flow:tg:a", "s");
    let broker = EmbeddedBroker::open(&folder, EmbeddedOptions::default()).unwrap();
    broker.create_queue(&weir_pubsub::QueueSpec::new(a.clone())).await.unwrap();
    for number in 0..100 {
        put(&*broker, &a, Message::new(body(number))).await.unwrap();
    }
    broker.close().await;
    drop(broker);
    let broker = EmbeddedBroker::open(&folder, EmbeddedOptions::default()).unwrap();
    disk.fill();
    let reader = broker.consumer(a.topic(), a.subscription(), ConsumerOptions::default()).await.unwrap();
    // A reserve may let it succeed; an endless wait, or an end without a reason, must not happen.
    let first = within("an answer", reader.receive()).await;
    if let Err(error) = &first {
        assert!(error.to_string().contains("full"), "{error}");
    }
    disk.free();
    let left = 100 - u32::from(first.is_ok());
    for _ in 0..left {
        within("the rest", reader.receive()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_delivered_often_but_never_attempted_is_not_given_up() {
    let mut fixture = HostFixture::without_host().await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    fixture.send_text("innocent").await;
    let input = queue("flow:tg:in", "echo--v--input");
    // As a host does that is killed each time before its component is ready.
    for _ in 0..40 {
        let reader = fixture.backend.consumer(input.topic(), input.subscription(), ConsumerOptions::default()).await.unwrap();
        within("the message", reader.receive()).await.unwrap();
    }
    fixture.start_host(weir_runtime::Served::All).await;
    assert_eq!(fixture.outputs().await.next_text().await, "innocent");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_the_broker_can_never_accept_become_dead_letters_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_settle_bytes: 2_000_000, ..Limits::default() };
    let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
    let mut fixture = HostFixture::over(EmbeddedBroker::open_limited(folder.path(), limits, options).unwrap()).await;
    fixture.start_host(weir_runtime::Served::All).await;
    let change = |record: &mut weir_config::records::ComponentRecord| {
        record.limits.sends_bytes = Some(1 << 30);
        record.retry.attempts_count = Some(1);
    };
    fixture.run(guests::BIG_OUTPUT, &[], change).await;
    // The effective limit is what the broker accepts, whatever the deployment states.
    fixture.send_text(r#"{"count": 3, "bytes": 900000}"#).await;
    let (letter, _) = fixture.dead_letter().await;
    assert!(letter.reason.contains("--limit sends-bytes=N"), "{letter:?}");
    // What the host adds to a message counts too.
    fixture.send_text(r#"{"count": 1, "bytes": 1999999}"#).await;
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("too-large", 1), "{letter:?}");
    assert!(letter.reason.contains("the limit is 2000000"), "{letter:?}");
    fixture.end().await;
}
