//! A log that cannot be written: Weir keeps working, and the log continues once it can be written.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_setfl};
use serde_json::Value;
use weir_tests::disk::SmallDisk;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::{Weir, binary};

use super::start_echo;

/// Several lines for each message, each of which is an object.
const VERBOSE: [(&str, &str); 2] = [("WEIR_LOG", "info,weir::message=debug"), ("WEIR_LOG_FORMAT", "json")];
/// More lines than are buffered while the log cannot be written.
const MANY: usize = 8_000;

async fn up(data: &Path, stderr: impl Into<Stdio>) -> Weir {
    Weir::up_into(data, &VERBOSE, Stdio::null(), stderr.into()).await
}

/// Sends this many messages to the flow `one`.
async fn send(weir: &Weir, count: usize) {
    let file = weir.data().join("messages");
    fs::write(&file, "{\"reject\":\"it has no page\"}\n".repeat(count)).unwrap();
    weir.must(&["send", "one", "in", file.to_str().unwrap(), "--each-line"]).await;
}

/// A figure of the first processor.
async fn figure(weir: &Weir, name: &str) -> u64 {
    let status = weir.get("/api/v1/weir/status").await;
    status["hosts"][0]["processors"][0][name].as_u64().unwrap_or_default()
}

/// Waits until this many messages are settled.
async fn handles(weir: &Weir, count: usize) {
    let look = || async { (figure(weir, "handled-count").await == count as u64).then_some(()) };
    eventually(DEADLINE, format!("{count} messages to be handled"), look).await;
}

async fn dropped_lines(weir: &Weir) -> u64 {
    let text = weir.http().get(weir.path("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("weir_log_lines_dropped_total ")).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

async fn is_healthy(weir: &Weir) {
    assert_eq!(weir.get("/healthz").await["status"], "ok");
}

/// A pipe; the complete lines that come out of it are checked once it is read.
fn stderr_pipe() -> (PipeReader, PipeWriter) {
    pipe().unwrap()
}

/// Reads until a line contains this text; returns all lines up to it, each of which must be complete.
async fn read_until(reader: PipeReader, text: &'static str) -> (Vec<Value>, BufReader<PipeReader>) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(reader);
        let mut found: Vec<Value> = Vec::new();
        while found.last().is_none_or(|last| !last.to_string().contains(text)) {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended before {text}");
            found.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
        }
        (found, reader)
    });
    within(text, reading).await.unwrap()
}

#[tokio::test]
async fn a_full_disk_under_the_log_blocks_nothing_and_loses_no_buffered_line() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), SmallDisk::new(1 << 10));
    let log = disk.path().join("weir.log");
    let weir = up(folder.path(), File::create(&log).unwrap()).await;
    start_echo(&weir, "b", "one").await;
    disk.fill();
    send(&weir, 200).await;
    handles(&weir, 200).await;
    is_healthy(&weir).await;
    disk.free();
    let settled = |text: &str| text.matches("message settled").count();
    let text = eventually(DEADLINE, "the log to go on", || async {
        Some(fs::read_to_string(&log).unwrap()).filter(|text| settled(text) == 200 && text.ends_with('\n'))
    })
    .await;
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert_eq!(dropped_lines(&weir).await, 0);
    assert_eq!(weir.end().await.code(), Some(0));
    assert!(fs::read_to_string(&log).unwrap().trim_end().ends_with('}') && fs::read_to_string(&log).unwrap().contains("weir has stopped"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_log_reader_blocks_nothing_and_missed_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = stderr_pipe();
    let weir = up(folder.path(), writer).await;
    start_echo(&weir, "b", "one").await;
    send(&weir, MANY).await;
    handles(&weir, MANY).await;
    is_healthy(&weir).await;
    let dropped_count = dropped_lines(&weir).await;
    assert!(dropped_count > 0);
    let (lines, reader) = read_until(reader, "log lines dropped").await;
    assert!(lines.last().unwrap()["lines_count"].as_u64().unwrap() >= dropped_count, "{:?}", lines.last());
    // The pipe is blocked again, and must not delay the shutdown.
    send(&weir, 1_000).await;
    handles(&weir, MANY + 1_000).await;
    assert_eq!(weir.end().await.code(), Some(0));
    drop(reader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_non_blocking_standard_error_receives_complete_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = stderr_pipe();
    fcntl_setfl(&writer, OFlags::NONBLOCK | OFlags::WRONLY).unwrap();
    let weir = up(folder.path(), writer).await;
    start_echo(&weir, "b", "one").await;
    send(&weir, 500).await;
    handles(&weir, 500).await;
    weir.ask_to_end();
    let (lines, _reader) = read_until(reader, "weir has stopped").await;
    assert_eq!(lines.iter().filter(|line| line["message"] == "message settled").count(), 500);
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_reader_that_exits_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = stderr_pipe();
    let weir = up(folder.path(), writer).await;
    drop(reader);
    weir.must(&["deploy", guest_path("reject").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, super::blueprint("reject", &serde_json::json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    for round in 1..=3 {
        send(&weir, 3).await;
        let look = || async { (figure(&weir, "dead-count").await == round * 3).then_some(()) };
        eventually(DEADLINE, "the messages to be given up", look).await;
    }
    is_healthy(&weir).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn weir_runs_and_stops_with_an_unwritable_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let weir = Weir::up_into(folder.path(), &VERBOSE, full.try_clone().unwrap().into(), full.into()).await;
    start_echo(&weir, "b", "one").await;
    send(&weir, 10).await;
    handles(&weir, 10).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn closed_standard_streams_block_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let line = r#"exec "$0" --data "$1" up --listen 127.0.0.1:0 >&- 2>&-"#;
    command.args(["-c", line]).arg(binary()).arg(folder.path()).env("WEIR_LOG", "debug").stdin(Stdio::null());
    let weir = Weir::up_as(folder.path(), command).await;
    start_echo(&weir, "b", "one").await;
    send(&weir, 10).await;
    handles(&weir, 10).await;
    assert_eq!(weir.end().await.code(), Some(0));
}
