//! What status and doctor show of hosts: names, versions, clocks, and those that are gone.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use weir_pubsub::{Backend, Message};
use weir_tests::rabbitmq::Vhost;
use weir_tests::roles::Role;
use weir_tests::wait::{DEADLINE, eventually};

use super::{RolesFixture, hosts, printed};
use crate::rabbitmq::connection::connected;
use crate::rabbitmq::up::echoes;

async fn doctor(fixture: &RolesFixture) -> String {
    printed(&fixture.gateway, &["doctor", "--broker", fixture.vhost.url()]).await.1
}

#[tokio::test]
async fn two_hosts_of_one_name_work_and_are_reported_with_their_processes() {
    let mut fixture = RolesFixture::of(&["twin"]).await;
    fixture.hosts.push(fixture.site.start(Role::Host, "other", &["--name", "twin"]).await);
    fixture.until_all_run().await;
    let (one, two) = (fixture.hosts[0].pid(), fixture.hosts[1].pid());
    let (code, status) = printed(&fixture.gateway, &["status"]).await;
    assert_eq!(code, Some(0), "{status}");
    for text in [status, doctor(&fixture).await] {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("2 hosts have the name twin: process"), "{text}");
        assert!(text.contains(&format!("process {one} on ")) && text.contains(&format!("process {two} on ")), "{text}");
        assert!(text.contains("weir run host --name NAME"), "{text}");
    }
    echoes(&fixture.gateway, "one", "by one of two twins").await;
    fixture.end().await;
}

#[tokio::test]
async fn a_stopped_host_disappears_at_once_and_a_killed_one_is_shown_as_silent() {
    let mut fixture = RolesFixture::of(&["a", "b", "c"]).await;
    let (_, status) = printed(&fixture.gateway, &["status"]).await;
    assert!(status.contains("3 hosts") && status.contains("HOSTS") && status.contains("echo@"), "{status}");
    let [a, b, c] = <[_; 3]>::try_from(std::mem::take(&mut fixture.hosts)).unwrap();
    assert_eq!(b.end().await.code(), Some(0));
    let names = |hosts: Vec<Value>| hosts.iter().map(|host| host["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    eventually(DEADLINE, "the stopped host to be gone", || async {
        (names(hosts(&fixture.gateway).await) == ["a", "c"] || names(hosts(&fixture.gateway).await) == ["c", "a"]).then_some(())
    })
    .await;
    c.kill();
    eventually(DEADLINE, "the killed host to be silent", || async {
        let hosts = hosts(&fixture.gateway).await;
        let silent = hosts.iter().find(|host| host["presence"] == "silent")?;
        (silent["name"] == "c").then_some(())
    })
    .await;
    let (code, status) = printed(&fixture.gateway, &["status"]).await;
    assert!(code == Some(0) && status.contains("1 host,") && status.contains("host c has been silent for"), "{status}");
    assert!(doctor(&fixture).await.contains("has been silent for"));
    fixture.hosts.push(a);
    echoes(&fixture.gateway, "one", "by the one that is left").await;
    fixture.end().await;
}

/// Publishes a summary of a host that does not exist.
async fn report(vhost: &Vhost, fields: &Value) {
    let mut summary = json!({
        "host": "9-made-up", "machine": "elsewhere", "pid": 9, "started-ms": 1, "config-version": u32::MAX, "states": {}, "totals": {},
        "flows-count": 0, "digests-count": 0,
    });
    summary.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let backend = connected(vhost.url().to_owned()).await;
    let producer = backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(Message::new(summary.to_string())).await.unwrap();
    backend.close().await;
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn hosts_of_other_versions_and_wrong_clocks_are_reported() {
    let fixture = RolesFixture::of(&["a"]).await;
    let hour = 3_600_000;
    report(&fixture.vhost, &json!({"name": "old", "version": "0.0.9", "time-ms": now_ms()})).await;
    report(&fixture.vhost, &json!({"host": "8-late", "name": "late", "version": env!("CARGO_PKG_VERSION"), "time-ms": now_ms() - hour}))
        .await;
    report(&fixture.vhost, &json!({"host": "7-early", "name": "early", "version": env!("CARGO_PKG_VERSION"), "time-ms": now_ms() + hour}))
        .await;
    let text: String = doctor(&fixture).await.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "host old is Weir 0.0.9 and serves a version of weir:processor that it does not report",
        "the clock of host late is 60 min behind the gateway's",
        "the clock of host early is",
        "upgrade the older hosts",
        "set the clocks",
    ] {
        assert!(text.contains(expected), "no {expected} in\n{text}");
    }
    assert!(!text.contains("the clock of host a "), "{text}");
    let (_, status) = printed(&fixture.gateway, &["status"]).await;
    assert!(status.contains("host old is Weir 0.0.9"), "{status}");
    // Nothing depends on the clocks.
    echoes(&fixture.gateway, "one", "an hour apart").await;
    fixture.end().await;
}
