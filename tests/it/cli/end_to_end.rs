//! From a component's file to its results, and what an operator sees meanwhile.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;
use weir_tests::{guest, guest_path};

use super::{blueprint, said, start_echo};

#[tokio::test]
async fn a_message_passes_from_send_to_take() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let deployed = weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    assert!(deployed.starts_with("echo@1.0.0 deployed: "), "{deployed}");
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("echo", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "copy", file.to_str().unwrap()]).await;
    assert_eq!(weir.must(&["blueprint", "list"]).await, "copy\n");
    let shown: Value = serde_json::from_str(&weir.must(&["blueprint", "get", "copy"]).await).unwrap();
    assert!(shown["flow"].is_object());
    expect_test::expect![[r#"
        flow one started from blueprint copy
          processor   echo (one), echo@1.0.0
          interface   in (messages)
          interface   out (messages)
          check that it works: weir flow show one
    "#]]
    .assert_eq(&weir.must(&["flow", "start", "copy", "one", "--description", "the first"]).await);
    assert_eq!(weir.must(&["send", "one", "in", "--text", "hello"]).await, "sent 1 message\n");
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    expect_test::expect![[r#"
        flow  status   blueprint  interfaces  description
        one   running  copy       in out      the first
    "#]]
    .assert_eq(&weir.must(&["flow", "list"]).await);
    assert_eq!(weir.must(&["flow", "stop", "one"]).await, "flow one stopped\n");
    assert_eq!(weir.must(&["flow", "list", "--json"]).await, "[]\n");
    weir.must(&["blueprint", "delete", "copy"]).await;
    assert!(weir.end().await.success());
    assert!(!folder.path().join("gateway.json").exists());
}

#[tokio::test]
async fn status_shows_what_runs_and_fits_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "copy", "one").await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    let status = eventually(DEADLINE, "the host to report the message", || async {
        let status = weir.must(&["status"]).await;
        status.lines().any(|line| line.starts_with("echo ") && line.contains(" 1 ")).then_some(status)
    })
    .await;
    for part in ["1 host, 1 flow, ", "\nFLOWS\n", "\nPROCESSORS\n", "echo@1.0.0  running", "\nQUEUES\n", "exit out"] {
        assert!(status.contains(part), "`{part}` is not in\n{status}");
    }
    assert!(status.lines().all(|line| line.chars().count() <= 100), "{status}");
    let status: Value = serde_json::from_str(&weir.must(&["status", "--json"]).await).unwrap();
    assert_eq!(status["flows"][0]["id"], "one");
}

#[tokio::test]
async fn status_shows_why_a_processor_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("echo", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "copy", file.to_str().unwrap()]).await;
    let started = weir.must(&["flow", "start", "copy", "one", "-p", "szie=3"]).await;
    assert!(started.contains("note: parameter `szie`: the blueprint neither declares nor uses it (it declares none)"), "{started}");
    weir.must(&["config", "delete", "component", "echo@1.0.0", "--force"]).await;
    let status = eventually(DEADLINE, "the host to report the fault", || async {
        let status = weir.must(&["status"]).await;
        status.contains("LAST ERRORS").then_some(status)
    })
    .await;
    let row = status.lines().find(|line| line.starts_with("echo ") && line.contains("broken"));
    assert!(row.is_some_and(|row| row.contains("none -> echo@1.0.0")), "{status}");
    assert!(status.contains("deployment echo@1.0.0"), "{status}");
}

#[tokio::test]
async fn a_rejected_message_becomes_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", "reject@1.0.0", guest_path("reject").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("reject", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    assert_eq!(weir.must(&["dead-letters", "list"]).await, "no dead letters\n");
    let message = folder.path().join("message.json");
    fs::write(&message, r#"{"reject": "it has no page"}"#).unwrap();
    weir.must(&["send", "one", "in", message.to_str().unwrap()]).await;
    let letters = eventually(DEADLINE, "the letter", || async {
        let letters: Vec<Value> = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    assert_eq!((&letters[0]["error"], &letters[0]["subscription"]), (&json!("reject"), &json!("reject--one--input")));
    let text = weir.must(&["dead-letters", "list"]).await;
    assert!(text.contains("reject after 1 attempt") && text.contains(r#"body    {"reject": "it has no page"}"#), "{text}");
}

#[tokio::test]
async fn each_line_or_file_is_sent_as_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("outside", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    let lines = folder.path().join("lines.ndjson");
    fs::write(&lines, (0..1000).map(|at| format!("{at}\n")).collect::<String>()).unwrap();
    assert_eq!(weir.must(&["send", "one", "out", lines.to_str().unwrap(), "--each-line"]).await, "sent 1,000 messages\n");
    let read = weir.must(&["take", "one", "out"]).await;
    assert_eq!(read, fs::read_to_string(&lines).unwrap());
    let texts = folder.path().join("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("a.txt"), "one\ntwo").unwrap();
    fs::write(texts.join("b.txt"), "three").unwrap();
    assert_eq!(weir.must(&["send", "one", "out", texts.to_str().unwrap(), "--as-text"]).await, "sent 2 messages\n");
    let read = weir.must(&["take", "one", "out", "--count", "2", "--json"]).await;
    let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&read[0]["body"]["title"], &read[0]["body"]["text"], &read[1]["body"]["text"]),
        (&json!("a.txt"), &json!("one\ntwo"), &json!("three"))
    );
}

#[tokio::test]
async fn a_stop_requires_confirmation_before_deleting_messages() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("outside", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    weir.must(&["send", "one", "in", "--text", "kept"]).await;
    let refused = weir.run(&["flow", "stop", "one"]).await;
    assert_eq!(refused.status.code(), Some(1));
    expect_test::expect![[r#"
        error: flow `one` still holds 1 message: 1 for processor `outside` (outside--one--input); it is not stopped: wait until its processors have handled them, or delete the messages with `weir flow stop one --discard`
    "#]]
    .assert_eq(&said(&refused, folder.path()));
    assert_eq!(weir.must(&["flow", "stop", "one", "--discard"]).await, "flow one stopped; 1 message was discarded\n");
}

#[tokio::test]
async fn a_new_version_reports_the_entries_it_does_not_affect() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let mut other = guest("echo");
    // With an additional custom section, it is another file of the same component.
    other.extend_from_slice(&[0, 2, 1, b'x']);
    let changed = folder.path().join("echo.wasm");
    fs::write(&changed, other).unwrap();
    let text = weir.must(&["deploy", "echo@1.1.0", changed.to_str().unwrap()]).await;
    assert!(text.contains("These keep their current component") && text.contains("echo       one      one   echo@1.0.0"), "{text}");
    assert!(text.contains("\n  weir swap one echo:one echo@1.1.0 --wait\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_send_reports_how_many_messages_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", "echo@1.0.0", guest_path("echo").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("echo", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "copy", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "copy", "one"]).await;
    let mut command = weir.command(&["send", "one", "in", "-", "--each-line", "--ids"]);
    let mut sending = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = sending.stdin.take().unwrap();
    input.write_all(b"1\n2\n").unwrap();
    let output = sending.stdout.take().unwrap();
    let ids = tokio::task::spawn_blocking(move || BufReader::new(output).lines().take(2).map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(within("the ids of two messages", ids).await.unwrap().len(), 2);
    weir.kill();
    let ended = within("the end of the send", tokio::task::spawn_blocking(move || sending.wait_with_output().unwrap())).await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(69), "{said}");
    assert!(said.contains("messages that are known to be stored: 2"), "{said}");
    drop(input);
}
