//! The log: JSON for programs, short lines for people; and one message traced by its id.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::start_echo;

/// The lines of the log as objects; other lines are left out.
fn lines(weir: &Weir) -> Vec<Value> {
    weir.said().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line.get("level").is_some()).collect()
}

/// What happened to a message, step by step.
fn steps<'l>(lines: &'l [Value], id: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["message_id"] == id).collect()
}

fn words(steps: &[&Value]) -> Vec<String> {
    steps.iter().map(|step| step["message"].as_str().unwrap().to_owned()).collect()
}

/// A flow of two processors: the first succeeds with its second attempt, the second logs a line.
async fn start_two(weir: &Weir, folder: &Path) {
    for guest in ["retry", "stderr"] {
        weir.must(&["deploy", guest_path(guest).to_str().unwrap()]).await;
    }
    let blueprint = json!({
        "blueprint": {},
        "flow": {
            "retry:{id}": {
                "topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:middle:{id}"}, "parameters": {"until": "2", "delay": "0"},
            },
            "stderr:{id}": {"topics": {"input": "flow:tg:middle:{id}", "output": "flow:tg:out:{id}"}},
        },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = folder.join("blueprint.json");
    fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "two", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "two", "one"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_can_be_followed_by_its_id_through_two_processors_and_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("WEIR_LOG", "info,weir::message=debug"), ("WEIR_LOG_FORMAT", "json")];
    let weir = Weir::up_in(folder.path(), &[], &environment).await;
    start_two(&weir, folder.path()).await;
    let file = folder.path().join("message.json");
    fs::write(&file, "{\"log\":\n \"it was here\"}").unwrap();
    let told = weir.must(&["send", "one", "in", file.to_str().unwrap(), "--ids"]).await;
    let id = told.trim_end();
    assert!(id.len() == 32 && told.lines().count() == 1, "{told}");
    let is_settled = |lines: &[Value], processor: &str| {
        lines.iter().any(|line| line["message"] == "message settled" && line["processor"] == processor).then_some(())
    };
    let lines = eventually(DEADLINE, "both processors to settle", || async {
        let lines = lines(&weir);
        is_settled(&lines, "retry").and(is_settled(&lines, "stderr")).map(|()| lines)
    })
    .await;
    let first = steps(&lines, id);
    let mut expected = vec!["message published", "message received", "attempt failed", "message handled", "message settled"];
    // A worker may receive it before the publisher gets its answer.
    let mut found = words(&first);
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected, "{first:#?}");
    let of = |steps: &[&Value], message: &str| (*steps.iter().find(|step| step["message"] == message).unwrap()).clone();
    let failed = of(&first, "attempt failed");
    assert_eq!((&failed["attempt"], &failed["verdict"], &failed["next"]), (&json!(1), &json!("retry"), &json!("again")), "{failed}");
    assert_eq!((&failed["error"], &failed["level"]), (&json!("attempt 1 of 2"), &json!("DEBUG")));
    let handled = of(&first, "message handled");
    assert_eq!((&handled["attempt"], &handled["outputs_count"]), (&json!(2), &json!(1)), "{handled}");
    assert!(handled["elapsed_ms"].is_u64() && handled["flow"] == "one" && handled["component"] == "retry@1.0.0", "{handled}");
    let sent: Vec<&Value> = lines.iter().filter(|line| line["parent_id"] == id).collect();
    assert_eq!((sent.len(), &sent[0]["topic"]), (1, &json!("flow:tg:middle:one")), "{sent:#?}");
    let second = steps(&lines, sent[0]["message_id"].as_str().unwrap());
    assert_eq!(words(&second), ["message sent", "message received", "component log", "message handled", "message settled"], "{second:#?}");
    let line = of(&second, "component log");
    assert_eq!((&line["line"], &line["target"], &line["processor"]), (&json!("it was here"), &json!("weir::component"), &json!("stderr")));
}

#[tokio::test]
async fn messages_are_logged_only_on_request_and_dead_letters_as_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--log-format", "json"]).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["deploy", guest_path("reject").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, super::blueprint("reject", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "r", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "r", "two"]).await;
    let sent = weir.must(&["send", "one", "in", "--text", "hello", "--ids", "--json"]).await;
    let sent: Value = serde_json::from_str(&sent).unwrap();
    fs::write(&file, r#"{"reject": "it has no page"}"#).unwrap();
    let refused = weir.must(&["send", "two", "in", file.to_str().unwrap(), "--ids"]).await;
    let given_up = eventually(DEADLINE, "the message to be given up", || async {
        lines(&weir).into_iter().find(|line| line["message"] == "message given up")
    })
    .await;
    weir.must(&["take", "one", "out", "--count", "1"]).await;
    assert_eq!((&given_up["level"], &given_up["message_id"]), (&json!("WARN"), &json!(refused.trim_end())), "{given_up}");
    assert_eq!((&given_up["verdict"], &given_up["error"], &given_up["attempt"]), (&json!("reject"), &json!("it has no page"), &json!(1)));
    assert_eq!(steps(&lines(&weir), sent["id"].as_str().unwrap()), Vec::<&Value>::new());
    let flat = |line: &Value| line.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array());
    assert!(lines(&weir).iter().all(flat));
}

#[tokio::test]
async fn text_log_lines_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let line = eventually(DEADLINE, "weir to say that it is up", || async {
        weir.said().lines().find(|line| line.contains("weir is up")).map(str::to_owned)
    })
    .await;
    let (time, rest) = line.split_once(' ').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00:00:00.000Z", "{line}");
    assert!(rest.trim_start().starts_with("INFO weir is up url="), "{line}");
}

#[tokio::test]
async fn ids_of_stored_messages_are_printed_up_to_a_refused_one() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let file = folder.path().join("lines");
    fs::write(&file, "{\"a\":1}\n{\"a\":2}\nnope\n{\"a\":3}\n").unwrap();
    let sent = weir.run(&["send", "one", "in", file.to_str().unwrap(), "--each-line", "--ids"]).await;
    let said = super::said(&sent, folder.path());
    assert_eq!(sent.status.code(), Some(65), "{said}");
    assert!(said.contains("messages stored before it: 2") && said.contains("line 3 is not JSON"), "{said}");
    let ids = String::from_utf8(sent.stdout).unwrap();
    assert!(ids.lines().count() == 2 && ids.lines().all(|id| id.len() == 32), "{ids}");
}
