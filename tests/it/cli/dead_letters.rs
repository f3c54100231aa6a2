//! Dead letters: listed, redriven, also to another component, and deleted; and what happens when their queue is full.

use std::fs;

use serde_json::{Value, json};
use weir_pubsub::MessageId;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{blueprint, said};

/// Starts flows of one blueprint whose processor rejects messages that request it.
async fn start(weir: &Weir, flows: &[&str]) {
    weir.must(&["deploy", "reject@1.0.0", guest_path("reject").to_str().unwrap()]).await;
    let file = weir.data().join("blueprint.json");
    fs::write(&file, blueprint("reject", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    for flow in flows {
        weir.must(&["flow", "start", "b", flow]).await;
    }
}

/// Sends messages that are rejected, in this order, and returns their ids.
async fn send_rejected(weir: &Weir, flow: &str, texts: &[&str]) -> Vec<String> {
    let file = weir.data().join("messages.ndjson");
    fs::write(&file, texts.iter().map(|text| format!("{}\n", json!({"reject": "no page", "text": text}))).collect::<String>()).unwrap();
    let ids = weir.must(&["send", flow, "in", file.to_str().unwrap(), "--each-line", "--ids"]).await;
    ids.lines().filter(|line| line.len() == 32).map(str::to_owned).collect()
}

async fn letters(weir: &Weir, more: &[&str]) -> Vec<Value> {
    serde_json::from_str(&weir.must(&[&["dead-letters", "list", "--json"], more].concat()).await).unwrap()
}

/// Waits until there are this many dead letters.
async fn until_letters(weir: &Weir, count: usize) -> Vec<Value> {
    let look = || async { Some(letters(weir, &[]).await).filter(|letters| letters.len() == count) };
    eventually(DEADLINE, format!("{count} dead letters"), look).await
}

/// Takes messages out of the exit of a flow: ids and texts.
async fn taken(weir: &Weir, flow: &str, count: usize) -> Vec<(String, String)> {
    let read = weir.must(&["take", flow, "out", "--count", &count.to_string(), "--json"]).await;
    let read = read.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    read.map(|line| (line["id"].as_str().unwrap().to_owned(), line["body"]["text"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn dead_letters_are_redriven_with_their_ids_through_the_given_component() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, &["one"]).await;
    let ids = send_rejected(&weir, "one", &["a", "b", "c"]).await;
    until_letters(&weir, 3).await;
    let listed = weir.must(&["dead-letters", "list", "--flow", "one", "--processor", "reject"]).await;
    assert!(listed.contains(&format!("  {}  reject after 1 attempt by reject@1.0.0, 20", ids[0])), "{listed}");
    assert!(listed.contains("Z\n  from    flow:tg:in:one (reject--one--input), flow one\n"), "{listed}");
    assert_eq!(weir.must(&["dead-letters", "list", "--flow", "other"]).await, "no dead letter matches\n");

    let refused = weir.run(&["dead-letters", "redrive", "--flow", "one", "--to", "reject@9.9.9"]).await;
    let text = said(&refused, folder.path());
    assert!(
        refused.status.code() == Some(1) && text.starts_with("error: nothing was sent: the swap of reject:one in flow one failed"),
        "{text}"
    );
    assert_eq!(letters(&weir, &[]).await.len(), 3);

    weir.must(&["deploy", "reject@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    expect_test::expect![[r#"
        reject (one) swapped from reject@1.0.0 to reject@2.0.0
          it is running
        3 dead letters resent
    "#]]
    .assert_eq(&weir.must(&["dead-letters", "redrive", "--flow", "one", "--to", "reject@2.0.0"]).await);
    let texts = ["a", "b", "c"].map(str::to_owned);
    // The ids of outputs are derived from that of the message, so they show that it is the same message.
    let derived = ids.iter().map(|id| id.parse::<MessageId>().unwrap().of_output("output", 0).to_string());
    assert_eq!(taken(&weir, "one", 3).await, derived.zip(texts).collect::<Vec<_>>(), "in their order");
    assert_eq!(weir.must(&["dead-letters", "list"]).await, "no dead letters\n");
    assert_eq!(weir.must(&["dead-letters", "redrive", "--all"]).await, "no dead letter matches\n");
}

#[tokio::test]
async fn a_dead_letter_whose_queue_is_gone_stays_and_the_others_proceed() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, &["one", "two"]).await;
    let gone = send_rejected(&weir, "two", &["x"]).await;
    until_letters(&weir, 1).await;
    weir.must(&["flow", "stop", "two"]).await;
    send_rejected(&weir, "one", &["a", "b"]).await;
    until_letters(&weir, 3).await;
    weir.must(&["deploy", "reject@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    weir.must(&["swap", "one", "reject", "reject@2.0.0", "--wait"]).await;
    let partly = weir.run(&["dead-letters", "redrive", "--all"]).await;
    let text = said(&partly, folder.path());
    assert_eq!((partly.status.code(), String::from_utf8_lossy(&partly.stdout).as_ref()), (Some(1), "2 dead letters resent\n"), "{text}");
    for part in [
        "error: 1 dead letter was not resent\n",
        &gone[0],
        "flow two  flow:tg:in:two (reject--two--input): queue reject--two--input of flow:tg:in:two",
        "no longer exists",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    taken(&weir, "one", 2).await;
    let partly = weir.run(&["dead-letters", "redrive", &gone[0], "999", "--json"]).await;
    let answer: Value = serde_json::from_slice(&partly.stdout).unwrap();
    let kinds: Vec<_> = answer["failures"].as_array().unwrap().iter().map(|failure| failure["type"].as_str().unwrap()).collect();
    assert_eq!((partly.status.code(), kinds), (Some(1), vec!["queue-missing", "not-found"]), "{answer}");
    assert_eq!(weir.must(&["dead-letters", "delete", &gone[0]]).await, "1 dead letter deleted\n");
    assert_eq!(weir.must(&["dead-letters", "list"]).await, "no dead letters\n");
}

#[tokio::test]
async fn dead_letters_are_selected_in_exactly_one_way() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    for command in ["show", "redrive", "delete"] {
        let none = weir.run(&["dead-letters", command]).await;
        let text = said(&none, folder.path());
        assert_eq!(none.status.code(), Some(64), "{text}");
        for choice in ["ID", "--flow", "--processor", "--all"] {
            assert!(text.contains(choice), "`{choice}` is not in\n{text}");
        }
        for several in [&["7", "--all"][..], &["7", "--flow", "f"], &["--all", "--flow", "f"]] {
            let refused = weir.run(&[&["dead-letters", command], several].concat()).await;
            assert_eq!(refused.status.code(), Some(64), "{several:?}: {}", said(&refused, folder.path()));
        }
    }
    let refused = weir.run(&["dead-letters", "redrive", "abc"]).await;
    assert_eq!(refused.status.code(), Some(65));
    start(&weir, &["one", "two"]).await;
    send_rejected(&weir, "one", &["a"]).await;
    until_letters(&weir, 1).await;
    send_rejected(&weir, "two", &["b"]).await;
    until_letters(&weir, 2).await;
    let bodies = async |selector: &[&str]| {
        let shown = weir.must(&[&["dead-letters", "show", "--json"], selector].concat()).await;
        let texts =
            shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["message"]["body"]["text"].as_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(bodies(&["--all"]).await, ["a", "b"]);
    assert_eq!(bodies(&["--flow", "two"]).await, ["b"]);
    assert_eq!(bodies(&["2", "1"]).await, ["b", "a"]);
    assert_eq!(weir.must(&["dead-letters", "delete", "--processor", "reject", "--flow", "one"]).await, "1 dead letter deleted\n");
    assert_eq!(letters(&weir, &[]).await[0]["flows"], json!(["two"]));
}

#[tokio::test]
async fn a_full_dead_letter_queue_drops_nothing_and_blocks_no_other_message() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--set", "dead-letters.max-bytes=64KiB"]).await;
    start(&weir, &["one", "two"]).await;
    let large = "x".repeat(40 << 10);
    let ids = send_rejected(&weir, "one", &[&large, &large, &large]).await;
    let status = eventually(DEADLINE, "the status to say that the dead letters are full", || async {
        let status = weir.must(&["status"]).await;
        let words = status.split_whitespace().collect::<Vec<_>>().join(" ");
        (status.contains("\nFULL\n") && words.contains("stays in its queue")).then_some(status)
    })
    .await;
    for part in ["flow:tg:weir-dead-letters is full", "weir dead-letters redrive | delete", "dead-letters.max-bytes"] {
        // Its lines are wrapped by length.
        let words = status.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "`{part}` is not in\n{status}");
    }
    let doctor = weir.run(&["doctor"]).await;
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.code() == Some(1) && text.contains("fail  dead letters  queue flow:tg:weir-dead-letters is full"), "{text}");
    let metrics = weir.http().get(weir.path("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("weir_queue_full{topic=\"flow:tg:weir-dead-letters\",subscription=\"weir\"} 1\n"), "{metrics}");
    // Messages that can be handled are, behind the messages that wait, and in the other flow.
    for flow in ["one", "two"] {
        weir.must(&["send", flow, "in", "--text", "fine"]).await;
        assert_eq!(taken(&weir, flow, 1).await[0].1, "fine");
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let letter = until_letters(&weir, 1).await.remove(0);
        seen.push(letter["id"].as_str().unwrap().to_owned());
        weir.must(&["dead-letters", "delete", &letter["position"].to_string()]).await;
    }
    seen.sort();
    let mut sent = ids;
    sent.sort();
    assert_eq!(seen, sent, "each message became a letter, once");
    assert_eq!(weir.must(&["dead-letters", "list"]).await, "no dead letters\n");
    assert!(weir.end().await.success());
    // A changed limit is not a fault.
    let weir = Weir::up_with(folder.path(), &["--set", "dead-letters.max-bytes=1MiB"]).await;
    let queues = weir.get("/api/v1/weir/queues").await["queues"].as_array().unwrap().clone();
    let queue = queues.into_iter().find(|queue| queue["subscription"] == "weir").unwrap();
    assert_eq!((&queue["limit-bytes"], &queue["is-full"]), (&json!(1 << 20), &json!(false)));
}
