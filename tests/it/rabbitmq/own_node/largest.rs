//! A broker whose maximum message size is smaller than Weir's.

use serde_json::{Value, json};
use weir_pubsub::{Backend, ConsumerOptions, Message, PubsubError, QueueSpec};
use weir_tests::guest_path;
use weir_tests::rabbitmq::{DefaultQueues, Setup};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;

use crate::cli::{blueprint, start_echo};
use crate::host_fixture::queue;
use crate::rabbitmq::connection::connected;
use crate::rabbitmq::up::echoes;

const MIB: usize = 1 << 20;

/// The broker closes the channel of a client that sends more than it accepts: the client loses that message, and no other.
#[tokio::test]
async fn a_message_above_the_broker_limit_is_too_large_and_affects_no_other() {
    let node = Setup::default().line("max_message_size = 1048576").start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    for round in 0..3 {
        let large = || producer.publish_confirmed(Message::new(vec![b'x'; 2 * MIB]));
        let small = || producer.publish_confirmed(Message::new("small"));
        let (before, error, after) = within("the outcomes", async { tokio::join!(small(), large(), small()) }).await;
        let error = error.unwrap_err();
        let PubsubError::TooLarge { what, limit_bytes, .. } = &error else { panic!("round {round}: {error}") };
        assert!(what.contains("max_message_size") && *limit_bytes == MIB as u64, "{error}");
        for outcome in [before, after] {
            assert!(matches!(outcome, Ok(()) | Err(PubsubError::OutcomeUnknown { .. } | PubsubError::Unavailable { .. })), "{outcome:?}");
            assert!(round == 0 || outcome.is_ok(), "once the broker's limit is known nothing is sent that it refuses: {outcome:?}");
        }
        within("a small one", async { while small().await.is_err() {} }).await;
    }
    producer.publish_confirmed(Message::new(vec![b'y'; MIB])).await.unwrap();
    let last = async {
        loop {
            let body = consumer.receive().await.unwrap().message.body;
            if body.len() == MIB {
                return;
            }
            assert_eq!(body, "small");
        }
    };
    within("the largest that the broker takes", last).await;
}

/// A message larger than the broker accepts is refused without being sent, but not for longer than the broker refuses it.
#[tokio::test]
async fn a_message_that_was_too_large_is_accepted_once_the_broker_takes_larger_ones() {
    let node = Setup::default().line("max_message_size = 1048576").start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let large = Message::new(vec![b'x'; 2 * MIB]);
    for _ in 0..2 {
        let error = within("a refusal", producer.publish_confirmed(large.clone())).await.unwrap_err();
        assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
        let error = backend.check(queue.topic(), &large).unwrap_err();
        assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
    }
    node.keep_declarations().await;
    node.terminate().await;
    let file = node.folder().join("rabbitmq.conf");
    let raised = std::fs::read_to_string(&file).unwrap().replace("max_message_size = 1048576", "max_message_size = 4194304");
    std::fs::write(&file, raised).unwrap();
    node.start_again().await;
    let accepted = || async {
        match producer.publish_confirmed(large.clone()).await {
            Ok(()) => Some(()),
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. } | PubsubError::TooLarge { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    };
    eventually(DEADLINE, "the broker to take it", accepted).await;
    backend.check(queue.topic(), &large).unwrap();
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    assert_eq!(within("it", consumer.receive()).await.unwrap().message.body.len(), 2 * MIB);
}

async fn put(weir: &Weir, key: u32, size: usize) -> Value {
    let value = json!({"type": "large", "key": key.to_string(), "value": "x".repeat(size)});
    weir.post("/api/v1/config", &json!({"operation": "put", "values": [value]})).await
}

/// An answer of the config service above the broker's limit is an error with the figures, and the service continues.
#[tokio::test]
async fn an_answer_above_the_broker_limit_is_an_error_and_affects_no_other() {
    let node = Setup::default().line("max_message_size = 2097152").start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    start_echo(&weir, "b", "one").await;
    for key in 0..4 {
        assert_eq!(put(&weir, key, MIB).await.get("error"), None);
    }
    let all = json!({"operation": "getvalues", "type": "large"});
    for _ in 0..2 {
        let answer = weir.post("/api/v1/config", &all).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("the broker accepts at most 2097152"), "{answer}");
    }
    // Messages above it are reported to their sender, too.
    let line = format!("{}\n", json!({"text": "x".repeat(3 * MIB)}));
    let answer = weir.post_text("/api/v1/weir/flows/one/interfaces/in/messages", "application/x-ndjson", line).await;
    assert!(answer.to_string().contains("max_message_size"), "{answer}");
    echoes(&weir, "one", "all the same").await;
    assert_eq!(weir.end().await.code(), Some(0));
    // The configuration is larger than an answer: it is read in parts.
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    echoes(&weir, "one", "after a restart").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// An output above the broker's limit is refused to the component once that is known, and its message ends in the dead-letter queue.
#[tokio::test]
async fn an_output_above_the_broker_limit_becomes_a_dead_letter() {
    let node = Setup::default().line("max_message_size = 1048576").start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    weir.must(&["deploy", guest_path("big_output").to_str().unwrap()]).await;
    let file = folder.path().join("blueprint.json");
    std::fs::write(&file, blueprint("big-output", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    let send = async |bytes: usize| {
        std::fs::write(&file, json!({"bytes": bytes}).to_string()).unwrap();
        weir.must(&["send", "one", "in", file.to_str().unwrap()]).await;
    };
    send(2 * MIB).await;
    let first = || async {
        // A request in flight when the broker closed the channel because of the large message is in doubt.
        let listed = weir.run(&["dead-letters", "list", "--json"]).await;
        let letters: Vec<Value> = serde_json::from_slice(&listed.stdout).ok()?;
        letters.into_iter().next()
    };
    let letter = eventually(DEADLINE, "a dead letter", first).await;
    assert!(letter.to_string().contains("max_message_size"), "{letter}");
    send(3).await;
    assert!(weir.must(&["take", "one", "out", "--count", "1"]).await.contains("xxx"));
    assert_eq!(weir.end().await.code(), Some(0));
}
