//! How `weir up` ends: by a signal during its start, by a failed role, and with standard output that is not read.

use std::fs;
use std::io::pipe;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, command, run};

use super::start_echo;

#[tokio::test]
async fn a_signal_during_the_start_is_a_clean_stop() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let _ = fs::remove_file(folder.path().join("LOCK"));
        let mut child =
            command(folder.path(), &["up", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // The folder is locked before anything is opened.
        eventually(DEADLINE, "weir up to lock its folder", || async {
            fs::read_to_string(folder.path().join("LOCK")).ok().filter(|text| !text.is_empty())
        })
        .await;
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = eventually(DEADLINE, "weir up to end", || std::future::ready(child.try_wait().unwrap())).await;
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains("weir has stopped"), "{said}");
        assert!(!folder.path().join("gateway.json").exists());
    }
}

#[tokio::test]
async fn an_ended_role_ends_the_process_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["send", "one", "in", "--text", "kept"]).await;
    // Debug builds treat this signal as a request to make the commit thread panic.
    kill_process(Pid::from_raw(weir.pid().cast_signed()).unwrap(), Signal::USR2).unwrap();
    eventually(DEADLINE, "a message to be refused", || async {
        let sent = weir.run(&["send", "one", "in", "--text", "refused"]).await;
        (!sent.status.success()).then_some(())
    })
    .await;
    assert_eq!(weir.ended().await.code(), Some(1), "{}", weir.said());
    let said = weir.said();
    let line = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("the broker ended unexpectedly, so Weir stopped") && line.contains("ordered by a test"), "{line}");
    assert!(said.lines().any(|line| line.contains("next:") && line.contains("restart Weir")), "{said}");
    assert!(said.contains("ERROR panic"), "{said}");
    drop(weir);
    let again = Weir::up(folder.path()).await;
    let handled = || async {
        let status: Value = again.get("/api/v1/weir/status").await;
        (status["hosts"][0]["processors"][0]["state"] == "running").then_some(())
    };
    eventually(DEADLINE, "the flow to run again", handled).await;
    assert_eq!(again.end().await.code(), Some(0));
}

#[tokio::test]
async fn unread_standard_output_blocks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let log = fs::File::create(folder.path().join("test.log")).unwrap();
    let weir = Weir::up_into(folder.path(), &[], writer.into(), log.into()).await;
    start_echo(&weir, "b", "one").await;
    let said = weir.said();
    assert!(said.contains("standard output cannot be written"), "{said}");
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    for arguments in [&["status"][..], &["completion", "bash"], &["settings", "show"], &["--json", "flow", "list"], &["--help"]] {
        let output = weir.command(arguments).stdout(writer.try_clone().unwrap()).stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::task::spawn_blocking(|| output.wait_with_output().unwrap()).await.unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{arguments:?}");
    }
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn an_empty_version_file_is_reported_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Weir::up(folder.path()).await.end().await.code(), Some(0));
    let note = folder.path().join("version.json");
    fs::write(&note, "").unwrap();
    let output = run(folder.path(), &["up", "--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("version.json is empty or damaged") && said.contains("delete") && said.contains("start again"), "{said}");
    fs::remove_file(&note).unwrap();
    assert_eq!(Weir::up(folder.path()).await.end().await.code(), Some(0));
    assert!(fs::read_to_string(&note).unwrap().contains("data-format"));
}
