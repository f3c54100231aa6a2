//! Subscribers that come and go, each in its own process, half of them killed: nothing of them is left on the broker.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::peer::{must, names_with, run};
use super::processors::weir;

/// The number of subscribers of TrustGraph, and of Weir.
const COUNT: usize = 50;
const AT_A_TIME: usize = 10;

fn greeting(text: &str) -> (&'static str, serde_json::Value) {
    ("config", json!({"operation": "put", "values": [{"type": "prompt", "key": "greeting", "value": text}]}))
}

/// A Weir subscriber process that has fetched the value.
fn subscriber(vhost: &Vhost) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subscriber"));
    let mut child = command.args([vhost.url(), "prompt", "greeting"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    (child, said.trim_end().to_owned())
}

/// Starts and ends them; every second one is killed.
fn come_and_go(vhost: &Vhost, expected: &str) {
    for _ in 0..COUNT / AT_A_TIME {
        std::thread::scope(|scope| {
            for number in 0..AT_A_TIME {
                scope.spawn(move || {
                    let (mut child, said) = subscriber(vhost);
                    assert_eq!(said, expected);
                    if number % 2 == 0 {
                        child.kill().unwrap();
                        child.wait().unwrap();
                    } else {
                        drop(child.stdin.take());
                        assert!(child.wait().unwrap().success());
                    }
                });
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_subscribers_leave_no_queue_and_each_fetches_the_current_configuration() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    must(&vhost, &[greeting("hello")]).await;
    let before = names_with(broker, &vhost, "").await;
    let fetched = run(&vhost, "subscribers.py", &[&COUNT.to_string(), &AT_A_TIME.to_string()]).await;
    assert_eq!(fetched, "hello\n".repeat(COUNT));
    must(&vhost, &[greeting("hello again")]).await;
    tokio::task::block_in_place(|| come_and_go(&vhost, "hello again"));
    let left = || async { (names_with(broker, &vhost, "").await == before).then_some(()) };
    eventually(DEADLINE, "the queues of all subscribers to be gone", left).await;
    let answers = within("an answer", must(&vhost, &[("config", json!({"operation": "getvalues", "type": "prompt"}))])).await;
    assert_eq!(answers[0]["values"][0]["value"], "hello again");
    assert_eq!(weir.end().await.code(), Some(0));
}
