//! Roles that are killed and restarted, and a broker that disappears: the others continue.

use weir_tests::proxy::Proxy;
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::roles::{Role, Site};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{RolesFixture, hosts, ready};
use crate::rabbitmq::up::echoes;

/// Waits until a flow of the blueprint `b` could be started: both services work.
async fn starts(gateway: &Weir, flow: &str) {
    eventually(DEADLINE, format!("flow {flow} to be started"), || async {
        let output = gateway.run(&["flow", "start", "b", flow]).await;
        (output.status.success() || String::from_utf8_lossy(&output.stderr).contains("exists")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_flow_while_any_role_is_killed_and_restarted() {
    let mut fixture = RolesFixture::of(&["a"]).await;
    echoes(&fixture.gateway, "one", "at first").await;

    fixture.config.kill();
    echoes(&fixture.gateway, "one", "without a config service").await;
    fixture.config = fixture.site.start(Role::Config, "config", &[]).await;
    starts(&fixture.gateway, "two").await;
    echoes(&fixture.gateway, "two", "with the next config service").await;

    fixture.flow.kill();
    echoes(&fixture.gateway, "one", "without a flow service").await;
    fixture.flow = fixture.site.start(Role::Flow, "flow", &[]).await;
    starts(&fixture.gateway, "three").await;
    echoes(&fixture.gateway, "three", "with the next flow service").await;

    fixture.hosts.pop().unwrap().kill();
    fixture.gateway.must(&["send", "one", "in", "--text", "sent without a host"]).await;
    fixture.hosts.push(fixture.site.start(Role::Host, "a", &["--name", "a"]).await);
    assert!(fixture.gateway.must(&["take", "one", "out", "--count", "1"]).await.contains("sent without a host"));

    fixture.gateway.kill();
    fixture.gateway = fixture.site.gateway("gateway", &[]).await;
    ready(&fixture.gateway).await;
    echoes(&fixture.gateway, "one", "by the next gateway").await;
    fixture.end().await;
}

#[tokio::test]
async fn roles_continue_after_a_broker_outage_without_a_restart() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let proxy = Proxy::to(&broker.address()).await;
    let url = broker.url_by(proxy.address(), vhost.name());
    let fixture = RolesFixture::on(vhost, |_| Site::on(&url), &["a", "b"]).await;
    proxy.refuse();
    proxy.cut();
    eventually(DEADLINE, "the gateway to see that the broker is away", || async {
        let answer = fixture.gateway.http().get(fixture.gateway.path("/readyz")).send().await.ok()?;
        (!answer.status().is_success()).then_some(())
    })
    .await;
    proxy.accept();
    ready(&fixture.gateway).await;
    fixture.until_all_run().await;
    starts(&fixture.gateway, "two").await;
    echoes(&fixture.gateway, "two", "after the outage").await;
    fixture.end().await;
}

#[tokio::test]
async fn two_hosts_share_the_messages_of_a_queue() {
    let fixture = RolesFixture::of(&["a", "b"]).await;
    let lines: String = (0..400).map(|number| format!("{{\"text\": \"{number}\"}}\n")).collect();
    let file = fixture.site.data("lines");
    std::fs::write(&file, lines).unwrap();
    fixture.gateway.must(&["send", "one", "in", "--each-line", file.to_str().unwrap()]).await;
    let taken = fixture.gateway.must(&["take", "one", "out", "--count", "400"]).await;
    let mut numbers: Vec<&str> = taken.lines().collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 400);
    let counts: Vec<u64> =
        hosts(&fixture.gateway).await.iter().map(|host| host["processors"][0]["handled-count"].as_u64().unwrap()).collect();
    assert!(counts.len() == 2 && counts.iter().all(|count| *count > 0), "{counts:?}");
    fixture.end().await;
}
