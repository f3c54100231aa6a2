//! `weir up` over RabbitMQ, as the real binary.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use weir_pubsub::Queue;
use weir_tests::proxy::Proxy;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Management, Vhost};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, command};

use crate::cli::start_echo;
use crate::host_fixture::queue;

/// A password that occurs in no other text.
const PASSWORD: &str = "pa55-of-this-test";

/// A separate user for a vhost, with all permissions on it; returns its name.
pub(super) async fn user_of(vhost: &Vhost, broker: &Broker) -> String {
    let user = format!("user-of-{}", vhost.name());
    broker.management().put_user(&user, PASSWORD).await;
    broker.management().permit(&user, vhost.name(), ".*", ".*", ".*").await;
    user
}

pub(crate) async fn queues(api: &Management, vhost: &Vhost) -> Vec<String> {
    let queues = api.get(&format!("queues/{}", vhost.name())).await;
    queues.as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap().to_owned()).collect()
}

/// The queue that flow `one` of echo reads, and the one it ends in.
pub(super) fn queues_of_one() -> [Queue; 2] {
    [queue("flow:tg:in:one", "echo--one--input"), queue("flow:tg:out:one", "gateway--one--out")]
}

/// Checks that a message passes through a flow of echo.
pub(crate) async fn echoes(weir: &Weir, flow: &str, text: &str) {
    weir.must(&["send", flow, "in", "--text", text]).await;
    let taken = weir.must(&["take", flow, "out", "--count", "1"]).await;
    assert!(taken.contains(text), "{taken}");
}

fn printed(path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[tokio::test]
async fn weir_up_runs_over_an_external_broker_and_leaves_no_flow_queue() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let user = user_of(&vhost, broker).await;
    let url = broker.url_as(&user, PASSWORD, vhost.name());
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", &url), ("WEIR_LOG", "trace")]).await;
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "through RabbitMQ").await;
    let of_flow =
        |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("tg.flow.") && name.contains(":one")).collect::<Vec<_>>();
    assert!(!of_flow(queues(broker.management(), &vhost).await).is_empty());
    let status: Value = weir.get("/api/v1/weir/status").await;
    let shown = weir.must(&["settings", "show", "--json", "--broker", &url]).await;
    assert!(shown.contains(&format!("amqp://{user}:***@")) && shown.contains("broker.max-answer"), "{shown}");
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    eventually(DEADLINE, "the queues of the flow to be gone", || async {
        of_flow(queues(broker.management(), &vhost).await).is_empty().then_some(())
    })
    .await;
    let arguments = printed(&format!("/proc/{}/cmdline", weir.pid()));
    let said = weir.said();
    for text in [&said, &status.to_string(), &shown, &arguments] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert!(said.contains(&format!("broker amqp://{user}:***@{}/{}", broker.address(), vhost.name())), "{said}");
    assert!(!said.contains("lapin::"), "{said}");
    assert!(!folder.path().join("queues").exists());
    assert_eq!(weir.end().await.code(), Some(0));
    broker.management().delete(&format!("users/{user}")).await;
}

#[tokio::test]
async fn a_password_on_the_command_line_is_warned_about_once_and_not_shown() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let user = user_of(&vhost, broker).await;
    let url = broker.url_as(&user, PASSWORD, vhost.name());
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--broker", &url]).await;
    let said = weir.said();
    let warning = "the password of the broker is on the command line (--broker)";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert!(said.contains("WEIR_BROKER_URL") && said.contains("settings file") && !said.contains(PASSWORD), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
    std::fs::write(folder.path().join("settings.toml"), format!("[broker]\nurl = \"{url}\"\n")).unwrap();
    let weir = Weir::up(folder.path()).await;
    assert_eq!(weir.said().matches(warning).count(), 1, "only the start before it");
    assert_eq!(weir.end().await.code(), Some(0));
    broker.management().delete(&format!("users/{user}")).await;
}

fn log_of(folder: &Path) -> String {
    printed(folder.join("said.log").to_str().unwrap())
}

#[tokio::test]
async fn an_unreachable_broker_is_awaited_until_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(folder.path().join("said.log")).unwrap();
    let mut child = command(folder.path(), &["up", "--listen", "127.0.0.1:0"])
        .env("WEIR_BROKER_URL", format!("amqp://u:{PASSWORD}@127.0.0.1:1/v"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let line = "waiting for the broker amqp://u:***@127.0.0.1:1/v; press Ctrl-C to stop Weir";
    eventually(DEADLINE, "the line that it waits", || async { log_of(folder.path()).contains(line).then_some(()) }).await;
    assert!(child.try_wait().unwrap().is_none());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = eventually(DEADLINE, "weir up to end", || std::future::ready(child.try_wait().unwrap())).await;
    let said = log_of(folder.path());
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("127.0.0.1:1 cannot be reached") && said.contains("weir has stopped"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

#[tokio::test]
async fn a_broker_that_starts_later_is_used() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let proxy = Proxy::to(&broker.address()).await;
    proxy.refuse();
    let folder = tempfile::tempdir().unwrap();
    let url = broker.url_by(proxy.address(), vhost.name());
    let environment = [("WEIR_BROKER_URL", url.as_str())];
    let up = Weir::up_in(folder.path(), &[], &environment);
    let comes = async {
        let waits = || async {
            let said = std::fs::read_to_string(folder.path().join("test.log")).ok()?;
            said.contains("waiting for the broker").then_some(())
        };
        eventually(DEADLINE, "the line that it waits", waits).await;
        proxy.accept();
    };
    let (weir, ()) = tokio::join!(up, comes);
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "later").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_weir_uses_the_services_of_the_first_and_takes_over_only_the_flow_service() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let environment = [("WEIR_BROKER_URL", vhost.url())];
    let first = Weir::up_in(one.path(), &[], &environment).await;
    start_echo(&first, "b", "one").await;
    let second = Weir::up_in(two.path(), &[], &environment).await;
    let said = second.said();
    assert!(said.contains("config service: not started, another process runs it"), "{said}");
    assert!(said.contains("flow service: standing by, another process serves its requests"), "{said}");
    echoes(&second, "one", "by the gateway of the second").await;
    assert!(second.must(&["flow", "list"]).await.contains("one"));
    let hosts = || async {
        let status: Value = second.get("/api/v1/weir/status").await;
        (status["hosts"].as_array().unwrap().len() == 2).then_some(())
    };
    eventually(DEADLINE, "both hosts to report", hosts).await;
    assert_eq!(first.end().await.code(), Some(0));
    eventually(DEADLINE, "the second to take the requests for flows", || async {
        let queues = broker.management().get(&format!("queues/{}", vhost.name())).await;
        let of_flows = |queue: &&Value| queue["name"].as_str().unwrap().starts_with("tg.request.flow.");
        let queue = queues.as_array().unwrap().iter().find(of_flows)?.clone();
        (queue["consumers"] == 1).then_some(())
    })
    .await;
    // The flows are not lost, and are not shown as an empty list.
    assert!(!second.run(&["flow", "list"]).await.status.success());
    let again = Weir::up_in(one.path(), &[], &environment).await;
    assert!(again.said().contains("flow service: standing by"), "{}", again.said());
    assert!(again.must(&["config", "list", "flow"]).await.contains("one"));
    eventually(DEADLINE, "the second to take the flow service over", || async {
        second.said().contains("service took over").then_some(())
    })
    .await;
    eventually(DEADLINE, "the first to be used by the second again", || async {
        second.run(&["flow", "stop", "one", "--discard"]).await.status.success().then_some(())
    })
    .await;
    assert_eq!((second.end().await.code(), again.end().await.code()), (Some(0), Some(0)));
}
