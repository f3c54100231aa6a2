//! `weir components remove` and `weir prune`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_tests::marked_guest;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, run};

use super::{check, start_echo};
use crate::guests;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "suspects");
    names.sort();
    names
}

async fn deploy(weir: &Weir, target: &str, mark: u8) {
    let file = weir.data().join("component.wasm");
    fs::write(&file, marked_guest(guests::ECHO, mark)).unwrap();
    weir.must(&["deploy", target, file.to_str().unwrap()]).await;
}

/// Waits until the host has compiled this many components.
async fn compiled(weir: &Weir, count: usize) {
    let cache = weir.data().join("cache");
    let look = || async { (names(&cache).iter().filter(|name| name.ends_with(".cwasm")).count() == count).then_some(()) };
    eventually(DEADLINE, "components to be compiled", look).await;
}

#[tokio::test]
async fn a_deployment_is_removed_only_when_no_entry_refers_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "copy", "one").await;
    let echo = "echo@1.0.0";
    check(
        &weir.run(&["components", "remove", echo]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: echo@1.0.0 is in use by echo (one): stop these flows, or swap their processors to another component, then remove it
        "#]],
    );
    deploy(&weir, "echo@2.0.0", 2).await;
    weir.must(&["swap", "one", "echo", "echo@2.0.0", "--wait"]).await;
    let output = weir.run(&["components", "remove", echo]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by echo (one), rollback target"), "{output:?}");
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    assert_eq!(
        weir.must(&["components", "remove", echo]).await,
        "echo@1.0.0 removed; weir prune deletes files that are no longer needed\n"
    );
    assert!(!weir.must(&["components"]).await.contains("echo@1.0.0"));
    check(
        &weir.run(&["components", "remove", echo]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: deployment echo@1.0.0 does not exist; weir components lists all deployments
        "#]],
    );
}

#[tokio::test]
async fn prune_removes_unreferenced_files_with_and_without_a_running_weir() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "copy", "one").await;
    deploy(&weir, "other@1.0.0", 1).await;
    compiled(&weir, 2).await;
    assert_eq!(weir.must(&["prune"]).await, "nothing to remove\n");
    weir.must(&["components", "remove", "other@1.0.0"]).await;
    let dry: Value = serde_json::from_str(&weir.must(&["prune", "--dry-run", "--json"]).await).unwrap();
    let kinds = |pruned: &Value| pruned["files"].as_array().unwrap().iter().map(|file| file["kind"].clone()).collect::<Vec<_>>();
    assert_eq!((&dry["dry-run"], kinds(&dry)), (&json!(true), vec![json!("component"), json!("compiled-code"), json!("compiled-code")]));
    let sizes: u64 = dry["files"].as_array().unwrap().iter().map(|file| file["size-bytes"].as_u64().unwrap()).sum();
    assert_eq!(dry["size-bytes"], sizes);
    assert_eq!((names(&weir.data().join("components")).len(), names(&weir.data().join("cache")).len()), (2, 4));
    let said = weir.must(&["prune"]).await;
    assert!(said.contains("3 files, ") && said.ends_with(" removed\n"), "{said}");
    assert_eq!((names(&weir.data().join("components")).len(), names(&weir.data().join("cache")).len()), (1, 2));

    // What runs keeps running, now and after a restart.
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    deploy(&weir, "other@1.0.0", 1).await;
    compiled(&weir, 2).await;
    weir.must(&["components", "remove", "other@1.0.0"]).await;
    weir.kill();
    // A killed Weir leaves a note of its address; the folder's lock shows that it is not running.
    let output = run(folder.path(), &["prune", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let pruned: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&pruned["dry-run"], kinds(&pruned).len()), (&json!(false), 3));
    let weir = Weir::up(folder.path()).await;
    weir.must(&["send", "one", "in", "--text", "again"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"again\"}\n");
}

#[tokio::test]
async fn prune_on_a_folder_without_a_configuration_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let components = folder.path().join("components");
    fs::create_dir(&components).unwrap();
    fs::write(components.join(format!("{}.wasm", "0".repeat(64))), b"bytes").unwrap();
    let output = run(folder.path(), &["prune"]).await;
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert_eq!(names(&components).len(), 1);
}
