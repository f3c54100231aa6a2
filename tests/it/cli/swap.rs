//! `weir swap`: its output for a swap that succeeds, for one that a host refuses, and for one that does not fit.

use std::fs;

use serde_json::{Value, json};
use weir_tests::marked_guest;
use weir_tests::weir::Weir;

use super::{blueprint, check};
use crate::guests;

async fn deploy(weir: &Weir, name: &str, target: &str, mark: u8, more: &[&str]) -> String {
    let file = weir.data().join("component.wasm");
    fs::write(&file, marked_guest(name, mark)).unwrap();
    weir.must(&[&["deploy", target, file.to_str().unwrap()], more].concat()).await
}

#[tokio::test]
async fn a_swap_reports_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    deploy(&weir, guests::ECHO, "echo@1.0.0", 1, &[]).await;
    let file = folder.path().join("blueprint.json");
    let mut definition = blueprint("echo", &json!({}));
    definition["flow"]["echo:{id}"]["parameters"] = json!({"refuse": "not today"});
    fs::write(&file, definition.to_string()).unwrap();
    weir.must(&["blueprint", "put", "copy", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "copy", "one"]).await;
    let deployed = deploy(&weir, guests::ECHO, "echo@2.0.0", 2, &[]).await;
    assert!(
        deployed.contains("to change one: weir swap FLOW PROCESSOR echo@2.0.0 --wait\n  processor  variant  flow  component"),
        "{deployed}"
    );
    expect_test::expect![[r#"
        echo (one) swapped from echo@1.0.0 to echo@2.0.0
          it is running
    "#]]
    .assert_eq(&weir.must(&["swap", "one", "echo", "echo", "--wait"]).await);
    assert_eq!(weir.must(&["swap", "one", "echo", "echo@2.0.0"]).await, "echo (one) already has echo@2.0.0\n");
    let said: Value = serde_json::from_str(&weir.must(&["swap", "one", "echo", "echo@1.0.0", "--wait", "--json"]).await).unwrap();
    assert_eq!((&said["component"]["version"], &said["previous"]["version"]), (&json!("1.0.0"), &json!("2.0.0")));
    assert_eq!(said["hosts"].as_array().unwrap().len(), 1);

    deploy(&weir, guests::SETUP_REFUSED, "picky@1.0.0", 3, &[]).await;
    let refused = weir.run(&["swap", "one", "echo", "picky", "--wait"]).await;
    let host = weir.get("/api/v1/weir/status").await["hosts"][0]["name"].as_str().unwrap().to_owned();
    let text = String::from_utf8_lossy(&refused.stderr).replace(&host, "HOST");
    assert_eq!(refused.status.code(), Some(1), "{text}");
    expect_test::expect![[r#"
        error: picky@1.0.0 cannot replace echo (one) on host HOST: echo@1.0.0 continues
          because: the component rejected its setup: not today
          next: the host keeps trying; to revert: weir swap one echo echo@1.0.0
    "#]]
    .assert_eq(&text);
    assert!(weir.must(&["status"]).await.contains("picky@1.0.0 was rejected: the component rejected its setup: not today"));
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    weir.must(&["swap", "one", "echo", "echo@1.0.0", "--wait"]).await;

    deploy(&weir, guests::TWO_INPUTS, "two@1.0.0", 4, &[]).await;
    check(
        &weir.run(&["swap", "one", "echo", "two", "--wait"]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: flow `one`, processor `echo`, component `two@1.0.0`: the flow assigns no topic to the input `control`: add it to the processor's `topics` in the blueprint
        "#]],
    );
    check(
        &weir.run(&["swap", "one", "echo", "echo@7.0.0"]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: flow `one`, component `echo@7.0.0`: `echo@7.0.0` is not deployed (deployed: echo@1.0.0, echo@2.0.0): deploy it, or choose another
        "#]],
    );
    assert!(weir.end().await.success());
}
