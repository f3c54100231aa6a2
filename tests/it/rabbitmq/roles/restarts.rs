//! Roles that are killed and started again, and a broker that goes away: the others go on.

use weir_tests::proxy::Proxy;
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::roles::{Role, Site};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{Whole, hosts, ready};
use crate::rabbitmq::up::echoes;

/// Waits until a flow of the blueprint `b` could be started: both services do their work.
async fn starts(gateway: &Weir, flow: &str) {
    eventually(DEADLINE, format!("flow {flow} to be started"), || async {
        let output = gateway.run(&["flow", "start", "b", flow]).await;
        (output.status.success() || String::from_utf8_lossy(&output.stderr).contains("exists")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_flow_while_any_role_is_killed_and_started_again() {
    let mut whole = Whole::of(&["a"]).await;
    echoes(&whole.gateway, "one", "at first").await;

    whole.config.kill();
    echoes(&whole.gateway, "one", "without a config service").await;
    whole.config = whole.site.start(Role::Config, "config", &[]).await;
    starts(&whole.gateway, "two").await;
    echoes(&whole.gateway, "two", "with the next config service").await;

    whole.flow.kill();
    echoes(&whole.gateway, "one", "without a flow service").await;
    whole.flow = whole.site.start(Role::Flow, "flow", &[]).await;
    starts(&whole.gateway, "three").await;
    echoes(&whole.gateway, "three", "with the next flow service").await;

    whole.hosts.pop().unwrap().kill();
    whole.gateway.must(&["send", "one", "in", "--text", "sent without a host"]).await;
    whole.hosts.push(whole.site.start(Role::Host, "a", &["--name", "a"]).await);
    assert!(whole.gateway.must(&["take", "one", "out", "--count", "1"]).await.contains("sent without a host"));

    whole.gateway.kill();
    whole.gateway = whole.site.gateway("gateway", &[]).await;
    ready(&whole.gateway).await;
    echoes(&whole.gateway, "one", "by the next gateway").await;
    whole.end().await;
}

#[tokio::test]
async fn roles_go_on_after_an_outage_of_the_broker_without_a_restart() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let proxy = Proxy::to(&broker.address()).await;
    let url = broker.url_by(proxy.address(), vhost.name());
    let whole = Whole::on(vhost, |_| Site::on(&url), &["a", "b"]).await;
    proxy.refuse();
    proxy.cut();
    eventually(DEADLINE, "the gateway to see that the broker is away", || async {
        let answer = whole.gateway.http().get(whole.gateway.path("/readyz")).send().await.ok()?;
        (!answer.status().is_success()).then_some(())
    })
    .await;
    proxy.accept();
    ready(&whole.gateway).await;
    whole.until_all_run().await;
    starts(&whole.gateway, "two").await;
    echoes(&whole.gateway, "two", "after the outage").await;
    whole.end().await;
}

#[tokio::test]
async fn two_hosts_share_the_messages_of_a_queue() {
    let whole = Whole::of(&["a", "b"]).await;
    let lines: String = (0..400).map(|number| format!("{{\"text\": \"{number}\"}}\n")).collect();
    let file = whole.site.data("lines");
    std::fs::write(&file, lines).unwrap();
    whole.gateway.must(&["send", "one", "in", "--each-line", file.to_str().unwrap()]).await;
    let taken = whole.gateway.must(&["take", "one", "out", "--count", "400"]).await;
    let mut numbers: Vec<&str> = taken.lines().collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 400);
    let counts: Vec<u64> =
        hosts(&whole.gateway).await.iter().map(|host| host["processors"][0]["handled-count"].as_u64().unwrap()).collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 0), "{counts:?}");
    whole.end().await;
}
