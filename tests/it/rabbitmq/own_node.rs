//! Separate nodes: killed, stopped, paused, configured, and cleaned up.

mod cluster;
mod faults;
mod largest;
mod outage;
mod tls;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use weir_tests::process::is_running;
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup};
use weir_tests::wait::{DEADLINE, eventually};

#[tokio::test]
async fn a_node_is_killed_stopped_and_restarted_with_its_data() {
    let node = Node::start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let queue = format!("queues/{}/kept", vhost.name());
    node.management().put(&queue, &json!({"durable": true})).await;
    node.keep_declarations().await;
    let first = node.pid().unwrap();
    node.kill().await;
    assert!(!is_running(first) && node.pid().is_none());
    node.start_again().await;
    assert_eq!(node.management().get(&queue).await["name"], "kept");
    node.terminate().await;
    assert!(node.pid().is_none());
    node.start_again().await;
    assert_eq!(node.management().get(&queue).await["name"], "kept");
}

#[tokio::test]
async fn a_node_can_be_paused_alarmed_and_configured() {
    let node = Setup::default().line("max_message_size = 1048576").consumer_timeout(Duration::from_secs(5)).start().await;
    let seen = node.ctl(&["eval", "{application:get_env(rabbit, max_message_size), application:get_env(rabbit, consumer_timeout)}."]).await;
    assert_eq!(seen.trim(), "{{ok,1048576},{ok,5000}}");
    node.raise_memory_alarm().await;
    node.end_memory_alarm().await;
    node.pause();
    let overview = tokio::time::timeout(Duration::from_millis(500), node.management().get("overview")).await;
    assert!(overview.is_err(), "a paused node answered");
    node.resume();
    node.management().get("overview").await;
    assert!(!node.try_ctl(&["no-such-command"]).await.status.success());
}

/// The processes that name this node, as all of its own do in their environment or arguments.
fn processes_of(folder: &Path) -> Vec<u32> {
    let name = folder.as_os_str().as_encoded_bytes();
    let names_it = |pid: &u32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mounts = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        [arguments, mounts].iter().any(|text| text.windows(name.len()).any(|part| part == name))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(names_it).collect()
}

#[tokio::test]
async fn a_node_whose_test_was_killed_leaves_nothing_behind() {
    let mut test = Command::new(env!("CARGO_BIN_EXE_rabbitmq")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let said: Vec<String> = tokio::task::spawn_blocking(move || lines.take(4).map(Result::unwrap).collect()).await.unwrap();
    let [_, _, pid, folder] = said.as_slice() else { panic!("the node did not start: {said:?}") };
    let (pid, folder) = (pid.parse().unwrap(), Path::new(folder));
    let before = processes_of(folder);
    assert!(is_running(pid) && folder.exists());
    assert!(before.contains(&pid) && before.len() > 3, "the broker, epmd and what supervises them: {before:?}");
    test.kill().unwrap();
    test.wait().unwrap();
    eventually(DEADLINE, "the node, epmd and its folder to be gone", || async {
        (!folder.exists() && !is_running(pid) && processes_of(folder).is_empty()).then_some(())
    })
    .await;
}
