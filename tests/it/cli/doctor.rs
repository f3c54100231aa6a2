//! `weir doctor`, with and without a running Weir; a data folder of a newer version; a nearly full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use expect_test::expect;
use serde_json::{Value, json};
use weir_pubsub::embedded::DiskUse;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, run};

use super::{blueprint, check, said, start_echo};

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// The grades and texts of all checks with this name.
fn found(output: &Output, check: &str) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let checks = answer["checks"].as_array().unwrap().iter().filter(|it| it["check"] == check);
    checks.map(|it| (it["grade"].as_str().unwrap().to_owned(), format!("{} / {}", it["what"].as_str().unwrap(), it["next"]))).collect()
}

async fn doctor(data: &Path, flags: &[&str]) -> Output {
    run(data, &[&["doctor", "--json"], flags].concat()).await
}

fn grade(output: &Output, check: &str) -> String {
    found(output, check).into_iter().map(|(grade, _)| grade).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn without_a_running_weir_doctor_reports_whether_one_could_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let none = doctor(&data, &ANY_PORT).await;
    assert_eq!((none.status.code(), grade(&none, "data folder").as_str(), grade(&none, "port").as_str()), (Some(0), "warn", "ok"));
    assert!(!data.exists(), "it changes nothing");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let open = doctor(&data, &ANY_PORT).await;
    assert_eq!((open.status.code(), grade(&open, "data folder").as_str()), (Some(0), "warn"), "{open:?}");
    assert!(found(&open, "data folder")[0].1.contains("chmod 700"));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "it changes nothing");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let blocked = doctor(&data, &["--listen", &taken.local_addr().unwrap().to_string()]).await;
    assert_eq!((blocked.status.code(), grade(&blocked, "port").as_str()), (Some(1), "fail"));
    fs::write(data.join("settings.toml"), "grace = 1\nlisten = 2\n").unwrap();
    let wrong = doctor(&data, &ANY_PORT).await;
    assert_eq!((wrong.status.code(), grade(&wrong, "settings").as_str()), (Some(1), "fail"));
    assert!(found(&wrong, "settings")[0].1.contains("line 1") && found(&wrong, "settings")[0].1.contains("line 2"), "{wrong:?}");
    let file = data.join("settings.toml");
    assert_eq!(grade(&doctor(&file, &ANY_PORT).await, "data folder"), "fail");
}

#[tokio::test]
async fn doctor_reports_waiting_messages_and_failures_of_a_running_weir() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let well = eventually(DEADLINE, "everything to be well", || async {
        let output = doctor(folder.path(), &[]).await;
        (output.status.code() == Some(0)).then_some(output)
    })
    .await;
    for check in ["lock", "format", "disk", "settings", "clock", "gateway", "hosts", "flows", "processors", "dead letters", "queues", "log"]
    {
        assert_eq!(grade(&well, check), "ok", "{check}: {well:?}");
    }
    assert!(found(&well, "lock")[0].1.contains(&weir.pid().to_string()));
    weir.must(&["deploy", guest_path("reject").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("reject", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "r", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "r", "two"]).await;
    fs::write(&file, r#"{"reject": "no"}"#).unwrap();
    weir.must(&["send", "two", "in", file.to_str().unwrap()]).await;
    eventually(DEADLINE, "the dead letter to be told", || async {
        let output = doctor(folder.path(), &[]).await;
        (grade(&output, "dead letters") == "warn" && output.status.code() == Some(0)).then_some(())
    })
    .await;
    let text = weir.must(&["doctor"]).await;
    assert!(text.contains("\nwarn  dead letters  1 dead letter needs attention\n"), "{text}");
    assert!(text.ends_with("\n0 failed, 1 with warnings\n") && text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[tokio::test]
async fn a_processor_that_cannot_run_fails_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("echo", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    weir.must(&["config", "delete", "component", "echo@1.0.0", "--force"]).await;
    let words = eventually(DEADLINE, "the doctor to find it", || async {
        let output = doctor(folder.path(), &[]).await;
        let (grade, words) = found(&output, "processors").remove(0);
        (grade == "fail" && output.status.code() == Some(1)).then_some(words)
    })
    .await;
    assert!(words.starts_with("echo (one) is broken: ") && words.contains("deployment echo@1.0.0"), "{words}");
}

#[tokio::test]
async fn a_data_folder_of_a_newer_version_is_refused_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Weir::up(folder.path()).await.end().await.code(), Some(0));
    let note = folder.path().join("version.json");
    fs::write(&note, r#"{"data-format": 7, "weir": "3.1.0"}"#).unwrap();
    let up = run(folder.path(), &["up", "--listen", "127.0.0.1:0"]).await;
    check(
        &up,
        folder.path(),
        73,
        &expect![[r#"
        error: the data folder DIR has format 7, written by Weir 3.1.0; this is Weir 0.1.0, which supports formats up to 1
          next: nothing was changed: use Weir 3.1.0 or a newer one, or start on another folder: weir up --data DIR
    "#]],
    );
    assert_eq!(fs::read_to_string(&note).unwrap(), r#"{"data-format": 7, "weir": "3.1.0"}"#);
    let output = doctor(folder.path(), &ANY_PORT).await;
    let (grade, words) = found(&output, "format").remove(0);
    assert_eq!((output.status.code(), grade.as_str()), (Some(1), "fail"));
    assert!(words.contains("format 7, written by Weir 3.1.0; this is Weir 0.1.0") && words.contains("use Weir 3.1.0"), "{words}");
}

/// A nearly full disk: the reserve is set so that this one counts as nearly full.
#[tokio::test]
async fn a_nearly_full_disk_refuses_new_messages_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["send", "one", "in", "--text", "before"]).await;
    assert_eq!(weir.end().await.code(), Some(0));
    let disk = DiskUse::of(folder.path()).unwrap();
    let reserve = (disk.free_bytes * 100 / disk.total_bytes + 5).min(99);
    fs::write(folder.path().join("settings.toml"), format!("[broker]\ndisk-reserve-percent = {reserve}\n")).unwrap();
    let weir = Weir::up(folder.path()).await;
    let refused = weir.run(&["send", "one", "in", "--text", "meanwhile"]).await;
    let words = said(&refused, folder.path());
    assert_eq!(refused.status.code(), Some(69), "{words}");
    assert!(words.contains("the disk of DIR/queues is full") && words.contains("lower broker.disk-reserve-percent"), "{words}");
    let output = doctor(folder.path(), &[]).await;
    assert_eq!((output.status.code(), grade(&output, "disk").as_str()), (Some(1), "fail"));
    assert!(found(&output, "disk")[0].1.contains(&format!("{reserve} % are reserved")), "{output:?}");
    // Existing messages are processed nevertheless.
    let before = weir.must(&["take", "one", "out", "--count", "1"]).await;
    assert_eq!(before, "{\"text\":\"before\"}\n");
    assert_eq!(weir.end().await.code(), Some(0));
    fs::remove_file(folder.path().join("settings.toml")).unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["send", "one", "in", "--text", "after"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"after\"}\n");
}
