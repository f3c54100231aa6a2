//! Invalid files, names and locations: the errors and the exit codes.

use std::fs;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::json;
use weir_tests::wait::{before, within};
use weir_tests::weir::{Weir, command, run};

use super::{blueprint, check, said, start_echo};

#[tokio::test]
async fn unusable_files_are_reported_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::write(place("latin1.json"), b"{\"a\": \"caf\xe9\"}").unwrap();
    let refused = async |arguments: &[&str], exit: i32, expected: &Expect| {
        check(&weir.run(arguments).await, folder.path(), exit, expected);
    };
    refused(
        &["deploy", &place("queues")],
        66,
        &expect![[r#"
        error: DIR/queues cannot be read
          because: Is a directory (os error 21)
          next: it is a folder: give a file in it
    "#]],
    )
    .await;
    refused(
        &["blueprint", "put", "b", &place("none.json")],
        66,
        &expect![[r#"
        error: DIR/none.json cannot be read
          because: No such file or directory (os error 2)
          next: check the path; it is relative to the current directory
    "#]],
    )
    .await;
    refused(
        &["blueprint", "put", "b", &place("latin1.json")],
        65,
        &expect![[r#"
        error: the blueprint in DIR/latin1.json is not JSON
          because: invalid utf-8 sequence of 1 bytes from index 10
          next: JSON must be UTF-8: save it as UTF-8
    "#]],
    )
    .await;
    refused(
        &["send", "one", "in", &place("latin1.json")],
        65,
        &expect![[r#"
        error: DIR/latin1.json is not JSON
          because: invalid utf-8 sequence of 1 bytes from index 10
          next: JSON must be UTF-8: save it as UTF-8
    "#]],
    )
    .await;
    refused(
        &["send", "one", "in", &place("latin1.json"), "--as-text"],
        65,
        &expect![[r#"
        error: sending ended early; messages stored before it: 0
          because: DIR/latin1.json is not UTF-8 text
          because: invalid utf-8 sequence of 1 bytes from index 10
          next: save it as UTF-8, or omit it
    "#]],
    )
    .await;
    refused(
        &["send", "one", "in", &place("latin1.json"), "--each-line"],
        65,
        &expect![[r#"
        error: not everything was sent; messages stored before it: 0
          because: line 1 is not JSON: it is not UTF-8 from byte 10 on
    "#]],
    )
    .await;
    // A program other than ours gets the same answer.
    let body = fs::read(place("latin1.json")).unwrap();
    let request = weir.http().post(weir.path("/api/v1/flow/one/service/in")).header("content-type", "application/json").body(body);
    let answer = within("the answer", request.send()).await.unwrap().text().await.unwrap();
    assert!(answer.contains("not-json") && answer.contains("not UTF-8 from byte 10 on"), "{answer}");
    assert_eq!(weir.must(&["queues", "one"]).await.lines().filter(|line| line.contains("  0 B ")).count(), 2, "nothing came in");
}

#[tokio::test]
async fn unknown_names_are_reported_with_where_to_find_them() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "plain", "one").await;
    let refused = async |arguments: &[&str], expected: &Expect| check(&weir.run(arguments).await, folder.path(), 1, expected);
    refused(
        &["flow", "start", "x", "two"],
        &expect![[r#"
        error: blueprint `x` does not exist: store it first, or use one listed by `weir blueprint list`
    "#]],
    )
    .await;
    refused(
        &["flow", "start", "plian", "two"],
        &expect![[r#"
        error: blueprint `plian` does not exist: store it first, or use one listed by `weir blueprint list`
          next: did you mean the blueprint `plain`?
    "#]],
    )
    .await;
    refused(
        &["flow", "stop", "another"],
        &expect![[r#"
        error: flow `another` does not exist: `weir flow list` lists all flows
    "#]],
    )
    .await;
    refused(
        &["blueprint", "delete", "plan"],
        &expect![[r#"
        error: there is no blueprint `plan`
          next: did you mean the blueprint `plain`? weir blueprint list shows all blueprints
    "#]],
    )
    .await;
    assert_eq!(weir.must(&["blueprint", "list"]).await, "plain\n", "nothing was deleted");
}

#[tokio::test]
async fn invalid_positions_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    check(
        &run(&file, &["status"]).await,
        folder.path(),
        73,
        &expect![[r#"
        error: the data folder DIR/file is not a folder
          next: choose another: --data DIR
    "#]],
    );
    check(
        &run(folder.path(), &["status", "--gateway", "http://[::1"]).await,
        folder.path(),
        64,
        &expect![[r#"
        error: the gateway's address `http://[::1` does not have the form https://HOST:PORT or http://HOST:PORT
          next: for example --gateway http://127.0.0.1:8088 or --gateway https://weir.example:8088
    "#]],
    );
    let full = command(folder.path(), &["settings", "show"]).stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).output();
    let full = full.unwrap();
    assert_eq!(full.status.code(), Some(1));
    expect![[r#"
        error: the output cannot be written
          because: No space left on device (os error 28)
    "#]]
    .assert_eq(&said(&full, folder.path()));
}

#[tokio::test]
async fn a_send_into_a_full_queue_ends_with_that_reason() {
    /// The gateway waits up to 60 s for room.
    const LONGEST: Duration = Duration::from_secs(120);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let weir = Weir::up_in(&data, &["--set", "broker.queue-limit=1MiB"], &[]).await;
    let (file, lines) = (folder.path().join("blueprint.json"), folder.path().join("lines.ndjson"));
    fs::write(&file, blueprint("outside", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    // More than the buffers of the connection hold.
    fs::write(&lines, format!("\"{}\"\n", "x".repeat(4_000)).repeat(10_000)).unwrap();
    let mut send = weir.command(&["send", "one", "in", lines.to_str().unwrap(), "--each-line"]);
    let ended = tokio::task::spawn_blocking(move || send.output().unwrap());
    let sent = before(LONGEST, "the end of the send", ended).await.unwrap();
    let words = said(&sent, folder.path());
    assert!(sent.status.code() == Some(69) && words.contains("is full") && !words.contains("lost"), "{words}");
}
