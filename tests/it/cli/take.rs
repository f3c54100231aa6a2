//! `weir take`: what it takes, when it ends, and that bodies are not changed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;

use super::{blueprint, check, said};

/// A Weir with flow `one`, whose exit is `out`.
pub(super) async fn with_exit(folder: &Path) -> Weir {
    let weir = Weir::up(&folder.join("data")).await;
    let file = folder.join("blueprint.json");
    fs::write(&file, blueprint("outside", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    weir
}

/// The same with messages numbered from 0 in the exit.
pub(super) async fn with_numbers(folder: &Path, count: u64) -> Weir {
    let weir = with_exit(folder).await;
    fill(&weir, folder, &numbers(0, count)).await;
    weir
}

/// Sends each line as a message that passes the flow immediately.
pub(super) async fn fill(weir: &Weir, folder: &Path, lines: &str) {
    let file = folder.join("lines.ndjson");
    fs::write(&file, lines).unwrap();
    weir.must(&["send", "one", "out", file.to_str().unwrap(), "--each-line"]).await;
}

/// Lines with the numbers of a range.
pub(super) fn numbers(from: u64, to: u64) -> String {
    (from..to).map(|at| format!("{at}\n")).collect()
}

/// Messages in the exit, including those in transit to a reader.
pub(super) async fn depth(weir: &Weir) -> u64 {
    let queues = weir.get("/api/v1/weir/queues").await;
    let exit = queues["queues"].as_array().unwrap().iter().find(|queue| queue["exit"] == "out").unwrap();
    exit["depth-count"].as_u64().unwrap()
}

pub(super) async fn depth_becomes(weir: &Weir, expected: u64) {
    eventually(DEADLINE, format!("{expected} messages in the exit"), || async { (depth(weir).await == expected).then_some(()) }).await;
}

/// A command whose standard output is a pipe that the test reads.
pub(super) fn piped(weir: &Weir, arguments: &[&str]) -> Child {
    weir.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// Waits for the end of a command; returns its exit code and standard error.
pub(super) async fn ended(child: Child) -> (Option<i32>, String) {
    let output = within("the command to end", tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())).await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The next lines of a command's output.
pub(super) async fn lines(
    mut reader: BufReader<std::process::ChildStdout>,
    count: usize,
) -> (BufReader<std::process::ChildStdout>, String) {
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        for _ in 0..count {
            reader.read_line(&mut text).unwrap();
        }
        (reader, text)
    });
    within("lines", read).await.unwrap()
}

#[tokio::test]
async fn take_ends_when_the_exit_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 3000).await;
    assert_eq!(weir.must(&["take", "one", "out"]).await, numbers(0, 3000));
    assert_eq!(depth(&weir).await, 0);
    assert_eq!(weir.must(&["take", "one", "out"]).await, "");
    // Messages from before a restart are still there after it, and the exit does not count as empty while the log is being read.
    fill(&weir, folder.path(), &numbers(0, 700)).await;
    assert!(weir.end().await.success());
    let weir = Weir::up(&folder.path().join("data")).await;
    assert_eq!(weir.must(&["take", "one", "out"]).await, numbers(0, 700));
    assert_eq!(depth(&weir).await, 0);
}

#[tokio::test]
async fn take_waits_for_exactly_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 2).await;
    let mut waiting = piped(&weir, &["take", "one", "out", "--count", "3"]);
    let (reader, first) = lines(BufReader::new(waiting.stdout.take().unwrap()), 2).await;
    depth_becomes(&weir, 0).await;
    fill(&weir, folder.path(), &numbers(2, 5)).await;
    let (_reader, rest) = lines(reader, 2).await;
    assert_eq!((first + &rest, ended(waiting).await), (numbers(0, 3), (Some(0), String::new())));
    assert_eq!(depth(&weir).await, 2);
}

#[tokio::test]
async fn following_continues_until_ctrl_c_without_losses() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 5).await;
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut following = piped(&weir, &["take", "one", "out", "--follow"]);
        let (reader, text) = lines(BufReader::new(following.stdout.take().unwrap()), 5).await;
        assert_eq!(text, numbers(0, 5));
        depth_becomes(&weir, 0).await;
        fill(&weir, folder.path(), "\"more\"\n").await;
        let (_reader, text) = lines(reader, 1).await;
        assert_eq!(text, "\"more\"\n");
        depth_becomes(&weir, 0).await;
        signal(&following, sent);
        assert_eq!(ended(following).await, (Some(code), String::new()));
        fill(&weir, folder.path(), &numbers(0, 5)).await;
    }
    assert_eq!(depth(&weir).await, 5);
}

#[tokio::test]
async fn bodies_pass_byte_for_byte_and_programs_receive_the_whole_message() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
    let odd = [
        r#"{"id":"a","big":123456789012345678901234567890,"u64":12345678901234567890,"dec":1.10,"one":1.0,"exp":1.50e3,"neg":-0}"#,
        r#"{"id":"big","n":1e400}"#,
        &deep,
        r#"{"id":"first","n":1,"id":"second","n":2}"#,
        r#"{"id":"cut","text":"half of an emoji: \ud83d"}"#,
        "null",
    ]
    .map(|body| format!("{body}\n"))
    .concat();
    fill(&weir, folder.path(), &odd).await;
    let mut watching = piped(&weir, &["tail", "one", "out", "--count", "6"]);
    eventually(DEADLINE, "the tap", || async {
        let figures = weir.http().get(weir.path("/metrics")).send().await.unwrap().text().await.unwrap();
        figures.contains("weir_gateway_streams{kind=\"tap\"} 1").then_some(())
    })
    .await;
    assert_eq!(weir.must(&["take", "one", "out"]).await, odd);
    fill(&weir, folder.path(), &odd).await;
    let (_, shown) = lines(BufReader::new(watching.stdout.take().unwrap()), 6).await;
    assert_eq!(shown, odd, "what passes is shown byte for byte, too");
    assert_eq!(ended(watching).await.0, Some(0));
    let json = weir.must(&["take", "one", "out", "--json"]).await;
    for (line, body) in json.lines().zip(odd.lines()) {
        assert!(line.starts_with("{\"id\":\"") && line.ends_with(&format!(",\"properties\":{{}},\"body\":{body}}}")), "{line}");
    }
    assert_eq!(json.lines().count(), 6);
}

#[tokio::test]
async fn wrong_names_and_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    check(
        &weir.run(&["take", "one", "outt"]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: flow `one` has no interface `outt`; interfaces: in, out
              next: did you mean the interface `out`?
        "#]],
    );
    let nothing = weir.run(&["take", "one", "out", "--count", "0"]).await;
    assert_eq!((nothing.status.code(), nothing.stdout), (Some(0), Vec::new()));
    check(
        &weir.run(&["take", "one", "out", "--lease", "1ms"]).await,
        folder.path(),
        65,
        &expect_test::expect![[r#"
            error: lease-ms: must be from 100 to 3600000 milliseconds, is 1
        "#]],
    );
}

#[tokio::test]
async fn tail_removes_nothing_and_names_the_command_that_does() {
    let folder = tempfile::tempdir().unwrap();
    // Also without a running Weir.
    let output = weir_tests::weir::run(folder.path(), &["tail", "one", "out", "--from-exit", "--count", "3"]).await;
    check(
        &output,
        folder.path(),
        64,
        &expect_test::expect![[r#"
            error: `weir tail` does not remove messages: --from-exit is no longer supported
              next: use weir take one out --count 3, which acknowledges each message once it is written
        "#]],
    );
    let json: Value =
        serde_json::from_slice(&weir_tests::weir::run(folder.path(), &["tail", "one", "out", "--from-exit", "--json"]).await.stderr)
            .unwrap();
    assert!(json.to_string().contains("weir take one out"), "{json} {}", said(&output, folder.path()));
}
