//! Dead letters on Pulsar with the command line: listed, shown, redriven and deleted; and a full queue of them.

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::pulsar::{Broker, Role};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::fixture::WeirFixture;

/// Sends messages that are rejected, in this order, and returns their ids.
async fn send_rejected(place: &WeirFixture, weir: &Weir, texts: &[&str]) -> Vec<String> {
    let lines: String = texts.iter().map(|text| format!("{}\n", json!({"reject": "no page", "text": text}))).collect();
    let file = place.file("messages.ndjson", &lines);
    let ids = weir.must(&["send", "one", "in", &file, "--each-line", "--ids"]).await;
    ids.lines().filter(|line| line.len() == 32).map(str::to_owned).collect()
}

/// Waits until there are this many dead letters.
async fn until_letters(weir: &Weir, count: usize) -> Vec<Value> {
    let look = || async {
        let listed: Vec<Value> = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
        Some(listed).filter(|letters| letters.len() == count)
    };
    eventually(DEADLINE, format!("{count} dead letters"), look).await
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn dead_letters_are_listed_shown_redriven_and_deleted_and_a_full_queue_loses_none() {
    let broker = Broker::node().await;
    let place = WeirFixture::on(broker, Role::Weir);
    broker.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    place.run(&["init"]).await;
    let weir = place.up(&["--set", "dead-letters.max-bytes=64KiB"]).await;
    place.start(&weir, "reject", &["one", "two"]).await;
    let ids = send_rejected(&place, &weir, &["a", "b", "c"]).await;
    let letters = until_letters(&weir, 3).await;
    let id = |letter: &Value| letter["id"].as_str().unwrap().to_owned();
    assert_eq!(sorted(letters.iter().map(id).collect()), sorted(ids.clone()));
    let shown = weir.must(&["dead-letters", "show", "--all", "--json"]).await;
    assert_eq!(shown.lines().count(), 3);
    assert!(shown.contains("no page"), "{shown}");
    weir.must(&["dead-letters", "delete", &letters[0]["position"].to_string()]).await;
    let left = until_letters(&weir, 2).await;
    assert!(left.iter().all(|letter| letter["id"] != letters[0]["id"]), "{left:?}");
    // Another version of the component accepts what this one rejects.
    weir.must(&["deploy", "reject@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    let again = weir.must(&["dead-letters", "redrive", "--flow", "one", "--to", "reject@2.0.0"]).await;
    assert!(again.contains("2 dead letters resent"), "{again}");
    let taken = weir.must(&["take", "one", "out", "--count", "2", "--json"]).await;
    let taken = taken.lines().map(|line| id(&serde_json::from_str::<Value>(line).unwrap())).collect::<Vec<_>>();
    assert_eq!(taken.len(), 2, "{taken:?}");
    until_letters(&weir, 0).await;
    full_ones_lose_nothing(&place, &weir).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// Flow `two` still has the component that rejects.
async fn full_ones_lose_nothing(place: &WeirFixture, weir: &Weir) {
    let large = "x".repeat(40 << 10);
    let line = format!("{}\n", json!({"reject": "no page", "text": large}));
    let file = place.file("large.ndjson", &line.repeat(4));
    let sent = weir.must(&["send", "two", "in", &file, "--each-line", "--ids"]).await;
    let sent: Vec<String> = sent.lines().filter(|line| line.len() == 32).map(str::to_owned).collect();
    assert_eq!(sent.len(), 4);
    let topic = format!("flow:{}:weir-dead-letters", place.tenant);
    eventually(DEADLINE, "doctor to say that the dead letters are full", || async {
        let (grade, text) = place.finding("dead letters").await;
        (grade == "fail" && text.contains(&format!("queue {topic} is full")) && text.contains("dead-letters.max-bytes")).then_some(())
    })
    .await;
    // Messages that can be handled are, behind the messages that wait.
    weir.must(&["send", "two", "in", "--text", "fine"]).await;
    assert!(weir.must(&["take", "two", "out", "--count", "1"]).await.contains("fine"));
    let mut seen = Vec::new();
    while seen.len() < sent.len() {
        let look = || async {
            let listed: Vec<Value> = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
            listed.into_iter().next()
        };
        let letter = eventually(2 * DEADLINE, "the next dead letter", look).await;
        seen.push(letter["id"].as_str().unwrap().to_owned());
        weir.must(&["dead-letters", "delete", &letter["position"].to_string()]).await;
    }
    assert_eq!(sorted(seen), sorted(sent), "each message became a letter, once");
    until_letters(weir, 0).await;
}
