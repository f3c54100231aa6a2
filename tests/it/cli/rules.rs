//! The process itself: its folder, its address, its exit codes.

use expect_test::expect;
use serde_json::Value;
use weir_tests::weir::{Weir, run};

use super::{check, said};

#[tokio::test]
async fn a_data_folder_in_use_is_named_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let second = weir.run(&["up", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.status.code(), Some(73));
    let said = said(&second, folder.path()).replace(&weir.pid().to_string(), "PID");
    expect![[r#"
        error: the data folder DIR is in use by process PID (weir up)
          next: stop that Weir first, or give this one its own folder: weir up --data DIR --listen 127.0.0.1:0
    "#]]
    .assert_eq(&said);
    assert!(weir.must(&["status"]).await.starts_with("weir "), "the first goes on");
}

#[tokio::test]
async fn a_path_that_is_not_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    check(
        &run(&file, &["up", "--listen", "127.0.0.1:0"]).await,
        folder.path(),
        73,
        &expect![[r#"
        error: the data folder DIR/file cannot be used
          because: File exists (os error 17)
          next: choose a folder that you may write to: weir up --data DIR
    "#]],
    );
}

#[tokio::test]
async fn an_address_in_use_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["up", "--listen", &address]).await;
    assert_eq!(output.status.code(), Some(69));
    expect![[r#"
        error: the gateway cannot listen on ADDRESS
          because: Address already in use (os error 98)
          next: stop the process that uses this port, or choose another: --listen 127.0.0.1:0 selects a free one
    "#]]
    .assert_eq(&said(&output, folder.path()).replace(&address, "ADDRESS"));
    assert!(!folder.path().join("queues").exists());
}

#[tokio::test]
async fn without_a_running_weir_commands_explain_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    check(
        &run(folder.path(), &["status"]).await,
        folder.path(),
        69,
        &expect![[r#"
        error: no Weir is running on the data folder DIR
          next: start it: weir up --data DIR; or select a running one: --data DIR or --gateway URL
    "#]],
    );
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(folder.path(), &["status", "--gateway", &format!("http://{gone}")]).await;
    assert_eq!(output.status.code(), Some(69));
    expect![[r#"
        error: Weir cannot be reached at http://ADDRESS (from --gateway or WEIR_GATEWAY)
          because: error sending request
          because: client error (Connect)
          because: tcp connect error
          because: Connection refused (os error 111)
          next: start it: weir up --data DIR; or select a running one: --data DIR or --gateway URL
    "#]]
    .assert_eq(&said(&output, folder.path()).replace(&gone.to_string(), "ADDRESS"));
    check(
        &run(folder.path(), &["status", "--gateway", "localhost"]).await,
        folder.path(),
        64,
        &expect![[r#"
        error: the gateway's address `localhost` does not have the form https://HOST:PORT or http://HOST:PORT
          next: for example --gateway http://127.0.0.1:8088 or --gateway https://weir.example:8088
    "#]],
    );
}

#[tokio::test]
async fn wrong_usage_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [&["stat"][..], &["flow"], &["send", "one"], &["up", "--grace", "soon"], &["tail", "a", "b", "--count", "x"]] {
        assert_eq!(run(folder.path(), wrong).await.status.code(), Some(64), "{wrong:?}");
    }
    for right in ["--help", "--version", "help"] {
        assert_eq!(run(folder.path(), &[right]).await.status.code(), Some(0), "{right}");
    }
}

#[tokio::test]
async fn errors_are_json_with_json_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["status", "--json"]).await;
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&error["error"]["exit"], output.stdout.len()), (&serde_json::json!(69), 0));
}
