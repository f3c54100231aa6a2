//! Messages that nothing reads are reported: at the start of a flow, by the doctor, and by a deployment that does not reach them.

use std::fs;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{blueprint, said, start_echo};

async fn check(weir: &Weir, name: &str) -> (String, String) {
    let output = weir.run(&["doctor", "--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = answer["checks"].as_array().unwrap().iter().find(|it| it["check"] == name).unwrap_or_else(|| panic!("{answer}"));
    (found["grade"].as_str().unwrap().to_owned(), format!("{} / {}", found["what"], found["next"]))
}

async fn put_echo(weir: &Weir) {
    let file = weir.data().join("blueprint.json");
    fs::write(&file, blueprint("echo", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
}

#[tokio::test]
async fn a_flow_with_an_undeployed_processor_is_refused_reported_and_served_later() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    put_echo(&weir).await;
    let refused = weir.run(&["flow", "start", "b", "one"]).await;
    let words = said(&refused, folder.path());
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert!(words.contains("nothing provides `echo`") && words.contains("--external NAME"), "{words}");
    assert_eq!(weir.must(&["flow", "list", "--json"]).await, "[]\n");
    weir.must(&["flow", "start", "b", "one", "--external", "echo"]).await;
    let (grade, words) = check(&weir, "readers").await;
    assert!(grade == "warn" && words.contains("flow:tg:in:one has no subscriber"), "{grade} {words}");
    weir.must(&["send", "one", "in", "--text", "waits"]).await;
    let (grade, words) = check(&weir, "readers").await;
    assert!(grade == "fail" && words.contains("1 message is waiting on flow:tg:in:one"), "{grade} {words}");
    assert!(words.contains("weir swap one echo:one COMPONENT"), "{words}");
    assert_eq!(weir.run(&["doctor"]).await.status.code(), Some(1));
    let (_, words) = check(&weir, "flows").await;
    assert!(words.contains("1 processor has no component"), "{words}");
    // A later deployment changes nothing, and names the command that does.
    let text = weir.must(&["deploy", "echo@1.0.0", guest_path("echo").to_str().unwrap()]).await;
    assert!(text.contains("\n  weir swap one echo:one echo@1.0.0 --wait\n"), "{text}");
    let text = weir.must(&["swap", "one", "echo:one", "echo@1.0.0", "--wait"]).await;
    assert!(text.contains("set to echo@1.0.0"), "{text}");
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"waits\"}\n");
    let well = eventually(DEADLINE, "everything to be read", || async {
        let found = check(&weir, "readers").await;
        (found.0 == "ok").then_some(found)
    })
    .await;
    assert!(well.1.contains("no message is waiting without a subscriber"), "{well:?}");
}

#[tokio::test]
async fn a_host_for_one_processor_serves_only_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--processor", "echo", "--processor", "later"]).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["deploy", guest_path("reject").to_str().unwrap()]).await;
    let file = folder.path().join("reject.json");
    fs::write(&file, blueprint("reject", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "r", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "r", "two"]).await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    weir.must(&["send", "two", "in", "--text", "waits"]).await;
    let (grade, words) = check(&weir, "readers").await;
    assert!(grade == "fail" && words.contains("1 message is waiting on flow:tg:in:two"), "{grade} {words}");
    let status: Value = serde_json::from_str(&weir.must(&["status", "--json"]).await).unwrap();
    assert_eq!(status["hosts"][0]["serves"], json!(["echo", "later"]));
    // A host started with a name serves it, whatever is deployed.
    fs::write(&file, blueprint("later", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "l", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "l", "three"]).await;
    weir.must(&["deploy", "later@1.0.0", guest_path("echo").to_str().unwrap()]).await;
    weir.must(&["send", "three", "in", "--text", "later"]).await;
    assert_eq!(weir.must(&["take", "three", "out", "--count", "1"]).await, "{\"text\":\"later\"}\n");
    let wrong = weir.run(&["up", "--processor", "echo="]).await;
    assert_eq!(wrong.status.code(), Some(64));
    assert!(said(&wrong, folder.path()).contains("the file is missing: give echo=FILE.wasm"), "{wrong:?}");
}
