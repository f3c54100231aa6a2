//! Roles that are started in any order.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::roles::{Role, Site};
use weir_tests::wait::{DEADLINE, eventually, seed};
use weir_tests::weir::Weir;

use super::{printed, ready};
use crate::cli::start_echo;
use crate::rabbitmq::up::echoes;

/// Of 24.
const ORDERS_COUNT: usize = 4;

#[tokio::test]
async fn roles_start_in_any_order_and_report_what_is_missing() {
    let mut rng = StdRng::seed_from_u64(seed());
    for _ in 0..ORDERS_COUNT {
        let mut order = Role::ALL;
        order.shuffle(&mut rng);
        println!("{order:?}");
        come_up(order).await;
    }
}

async fn come_up(order: [Role; 4]) {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let site = Site::on(vhost.url());
    let (mut there, mut processes, mut gateway) = (Vec::new(), Vec::new(), None);
    for role in order {
        let has_config = there.contains(&Role::Config);
        if role == Role::Gateway {
            gateway = Some(site.gateway("gateway", &[]).await);
        } else {
            let mut process = site.begin(role, role.word(), &[]);
            let waits = role != Role::Config && !has_config;
            process.says(if waits { "waiting for the config service; press Ctrl-C to stop Weir" } else { " is running the " }).await;
            processes.push(process);
        }
        there.push(role);
        if let Some(gateway) = &gateway {
            missing_is_named(gateway, &there).await;
        }
    }
    let gateway = gateway.unwrap();
    ready(&gateway).await;
    for process in &mut processes {
        process.says(" is running the ").await;
        let said = process.said();
        assert!(said.matches("waiting for the config service;").count() <= 1, "{said}");
    }
    start_echo(&gateway, "b", "one").await;
    echoes(&gateway, "one", "in any order").await;
    for process in processes {
        assert_eq!(process.end().await.code(), Some(0));
    }
    assert_eq!(gateway.end().await.code(), Some(0));
}

/// The gateway answers while services are missing, and names them.
async fn missing_is_named(gateway: &Weir, there: &[Role]) {
    let has = |role: Role| there.contains(&role);
    let reasons = [
        (Role::Config, "the config service does not answer"),
        (Role::Flow, "the flow service does not answer"),
        (Role::Host, "no host is reporting"),
    ];
    // Without the config service the flow service waits.
    let answers = |role: Role| has(role) && (role != Role::Flow || has(Role::Config));
    eventually(DEADLINE, format!("the gateway to name what is missing beside {there:?}"), || async {
        let answer = gateway.http().get(gateway.path("/readyz")).send().await.ok()?;
        let is_ready = answer.status().is_success();
        let text = answer.text().await.ok()?;
        let is_right = reasons.iter().all(|(role, reason)| text.contains(reason) != answers(*role));
        (is_right && is_ready == (there.len() == 4)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn status_and_doctor_report_what_is_missing_behind_a_lone_gateway() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let site = Site::on(vhost.url());
    let gateway = site.gateway("gateway", &[]).await;
    let (code, status) = printed(&gateway, &["status"]).await;
    assert_eq!(code, Some(69), "{status}");
    for text in [
        "0 hosts, flows and queues unknown",
        "the config service does not answer",
        "the flow service does not answer",
        "no host is reporting",
        "weir run config",
    ] {
        assert!(status.contains(text), "no {text} in\n{status}");
    }
    let broker = ["--broker", vhost.url()];
    let (code, doctor) = printed(&gateway, &[&["doctor"], &broker[..]].concat()).await;
    assert_eq!(code, Some(1), "{doctor}");
    for text in [
        "config service",
        "flow service",
        "weir run config",
        "weir run flow",
        "no host is reporting: no message is handled",
        "weir run host",
    ] {
        assert!(doctor.contains(text), "no {text} in\n{doctor}");
    }
    let said = gateway.said();
    assert_eq!(said.matches("waiting for the config service; press Ctrl-C").count(), 1, "{said}");
    assert_eq!(gateway.end().await.code(), Some(0));
}
