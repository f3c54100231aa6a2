//! A broker that is unreachable or accepts no messages, with the real binary: it is reported by name with the fix, and Weir recovers on its
//! own.

use std::process::Output;
use std::sync::Mutex;

use tempfile::TempDir;
use weir_tests::rabbitmq::{DefaultQueues, Node, Vhost};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use crate::cli::start_echo;
use crate::rabbitmq::up::echoes;

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Waits until a command reports this, however its lines are wrapped.
async fn reports(weir: &Weir, url: &str, arguments: &[&str], words: &[&str]) -> String {
    let seen = Mutex::new(String::new());
    let look = || async {
        let mut command = weir.command(arguments);
        command.env("WEIR_BROKER_URL", url);
        let said = printed(&tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap());
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        seen.lock().unwrap().clone_from(&said);
        words.iter().all(|word| said.contains(word)).then_some(said)
    };
    let found = tokio::time::timeout(2 * DEADLINE, eventually(3 * DEADLINE, "a report", look)).await;
    found.unwrap_or_else(|_| panic!("weir {} reports no {words:?}: {}", arguments.join(" "), seen.lock().unwrap()))
}

async fn is_ready(weir: &Weir, words: &str) -> Option<()> {
    let ready = weir.http().get(weir.path("/readyz")).send().await.ok()?.text().await.ok()?;
    ready.contains(words).then_some(())
}

/// A separate node, and a Weir on it with a flow `one` of echo.
async fn echoing() -> (Node, Vhost, TempDir, Weir) {
    let node = Node::start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url())]).await;
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "before").await;
    (node, vhost, folder, weir)
}

#[tokio::test]
async fn a_restarted_broker_is_used_without_restarting_weir() {
    let (node, _vhost, _folder, weir) = echoing().await;
    let pid = weir.pid();
    node.keep_declarations().await;
    node.terminate().await;
    eventually(DEADLINE, "weir to see that the broker is away", || async { weir.said().contains("unavailable, retrying").then_some(()) })
        .await;
    node.start_again().await;
    eventually(DEADLINE, "weir to be ready again", || is_ready(&weir, "\"ready\"")).await;
    weir.must(&["send", "one", "in", "--text", "after"]).await;
    let taken = weir.must(&["take", "one", "out", "--count", "1"]).await;
    assert!(taken.contains("after"), "{taken}");
    assert_eq!(weir.pid(), pid);
    let said = weir.said();
    assert!(said.contains("available again") && !said.contains("lapin::"), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn an_unreachable_broker_is_reported_and_used_again() {
    let (node, vhost, _folder, weir) = echoing().await;
    let pid = weir.pid();
    node.keep_declarations().await;
    node.kill().await;
    let away = "cannot be reached";
    eventually(DEADLINE, "the broker to be reported away in /readyz", || is_ready(&weir, away)).await;
    reports(&weir, vhost.url(), &["status"], &[&node.address(), away]).await;
    reports(&weir, vhost.url(), &["doctor"], &["fail broker", &node.address(), away, "start it"]).await;
    let send = weir.run(&["send", "one", "in", "--text", "lost?"]).await;
    assert!(!send.status.success() && printed(&send).contains(away), "{}", printed(&send));
    node.start_again().await;
    eventually(2 * DEADLINE, "weir to be ready again", || is_ready(&weir, "\"ready\"")).await;
    echoes(&weir, "one", "after").await;
    let said = reports(&weir, vhost.url(), &["doctor"], &["ok broker", "ok gateway"]).await;
    assert!(said.contains(" 0 failed") || said.contains("no problems found"), "{said}");
    let said = weir.said();
    assert_eq!(weir.pid(), pid);
    assert!(said.contains("available again") && !said.contains("restarting"), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_broker_under_a_memory_alarm_is_reported_and_refused_messages_are_not_sent_later() {
    let (node, vhost, _folder, weir) = echoing().await;
    node.raise_memory_alarm().await;
    let takes_none = "the broker accepts no messages";
    // The broker blocks a connection only once it publishes.
    let said = reports(&weir, vhost.url(), &["send", "one", "in", "--text", "refused"], &[takes_none]).await;
    assert!(said.contains("low on memory") && said.contains("free memory or disk"), "{said}");
    reports(&weir, vhost.url(), &["status"], &[takes_none]).await;
    reports(&weir, vhost.url(), &["doctor"], &["fail messages the broker accepts no messages: low on memory", "free memory or disk"]).await;
    eventually(DEADLINE, "the alarm to be in /readyz", || is_ready(&weir, takes_none)).await;
    // A process started meanwhile waits for the end of the alarm.
    let (other, alone) = (tempfile::tempdir().unwrap(), node.vhost(DefaultQueues::Classic).await);
    let environment = [("WEIR_BROKER_URL", alone.url())];
    let second = Weir::up_in(other.path(), &[], &environment);
    let ends = async {
        let waits = || async {
            let said = std::fs::read_to_string(other.path().join("test.log")).ok()?;
            (said.contains("waiting for the broker") && said.contains("low on memory")).then_some(())
        };
        eventually(DEADLINE, "the line that it waits", waits).await;
        node.end_memory_alarm().await;
    };
    let (second, ()) = tokio::join!(second, ends);
    start_echo(&second, "b", "one").await;
    echoes(&second, "one", "through the second").await;
    assert_eq!(second.end().await.code(), Some(0));
    eventually(DEADLINE, "weir to be ready again", || is_ready(&weir, "\"ready\"")).await;
    // A message written before the connection was blocked may arrive: its sender got an unknown outcome.
    weir.must(&["send", "one", "in", "--text", "after"]).await;
    let taken = || async { weir.must(&["take", "one", "out", "--count", "1"]).await.contains("after").then_some(()) };
    eventually(DEADLINE, "what was sent after the alarm", taken).await;
    assert_eq!(weir.end().await.code(), Some(0));
}
