//! `weir up` over RabbitMQ, killed without warning: nothing confirmed is lost, and no flow stays between two states.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::tally::rounds;
use weir_tests::wait::{DEADLINE, before, eventually, pass, seed};
use weir_tests::weir::Weir;

use super::load::{self, Load, Pace};
use super::quorum::vhost_of;
use super::up::{echoes, queues};
use crate::cli::start_echo;

async fn up(data: &Path, vhost: &Vhost) -> Weir {
    // What the last life held is given free by the broker as soon as it sees its connections end.
    before(load::DEADLINE, "weir up", Weir::up_in(data, &[], &[("WEIR_BROKER_URL", vhost.url())])).await
}

/// The queues of flows that the broker has, without the dead letters.
async fn of_flows(vhost: &Vhost) -> BTreeSet<String> {
    let all = queues(Broker::shared().await.management(), vhost).await;
    all.into_iter().filter(|name| name.starts_with("tg.flow.") && !name.contains("weir-dead-letters")).collect()
}

async fn is_killed_under_load(queues: DefaultQueues) {
    let vhost = vhost_of(Broker::shared().await, queues).await;
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let weir = up(folder.path(), &vhost).await;
    start_echo(&weir, "b", "one").await;
    let load = Load::on(vhost.url(), Pace::FULL).await;
    let faults = async {
        let mut weir = weir;
        for _ in 0..rounds(4) {
            pass(Duration::from_millis(random.random_range(100..1_500))).await;
            weir.kill();
            weir = up(folder.path(), &vhost).await;
        }
        weir
    };
    let weir = load.send_during(faults).await;
    load.arrived().await.show(&format!("weir up killed under load, {} queues", queues.name()));
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    eventually(DEADLINE, "the queues to be gone", || async { of_flows(&vhost).await.is_empty().then_some(()) }).await;
    assert_eq!(weir.end().await.code(), Some(0));
    assert_eq!(of_flows(&vhost).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_under_load_loses_no_confirmed_message() {
    is_killed_under_load(DefaultQueues::Classic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_under_load_loses_no_confirmed_message_of_quorum_queues() {
    is_killed_under_load(DefaultQueues::Quorum).await;
}

/// The flows that are cut in their start or stop.
const FLOWS: [&str; 4] = ["one", "two", "three", "four"];

/// The flows that run, once none is between two states.
async fn running(weir: &Weir) -> Option<BTreeSet<String>> {
    let output = weir.run(&["flow", "list", "--json"]).await;
    let flows: Value = serde_json::from_slice(&output.stdout).ok()?;
    let flows = flows.as_array()?.iter();
    flows.map(|flow| (flow["status"] == "running").then(|| flow["id"].as_str().unwrap().to_owned())).collect()
}

fn queues_of(flows: &BTreeSet<String>) -> BTreeSet<String> {
    let both = |flow: &String| [format!("tg.flow.in:{flow}.echo--{flow}--input"), format!("tg.flow.out:{flow}.gateway--{flow}--out")];
    flows.iter().flat_map(both).collect()
}

/// The running flows, once the broker has their queues and no others.
async fn settled(weir: &Weir, vhost: &Vhost) -> BTreeSet<String> {
    let mut seen = String::new();
    let look = async {
        loop {
            let (flows, queues) = (running(weir).await, of_flows(vhost).await);
            match flows {
                Some(flows) if queues_of(&flows) == queues => return flows,
                flows => seen = format!("flows {flows:?}, queues {queues:?}"),
            }
            pass(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(load::DEADLINE, look).await;
    found.unwrap_or_else(|_| panic!("flows are between two states, or queues have no owner: {seen}"))
}

/// Stops all flows. A request of before a kill may be done only now: the queue of requests outlives the process.
async fn stop_all(weir: &Weir, vhost: &Vhost) {
    let stopped = async {
        loop {
            let flows = settled(weir, vhost).await;
            if flows.is_empty() {
                return;
            }
            for flow in &flows {
                weir.run(&["flow", "stop", flow, "--discard"]).await;
            }
        }
    };
    before(load::DEADLINE, "all flows to be stopped", stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_that_are_cut_in_their_start_or_stop_run_or_are_gone_with_their_queues() {
    let vhost = vhost_of(Broker::shared().await, DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let mut weir = up(folder.path(), &vhost).await;
    start_echo(&weir, "b", "first").await;
    weir.must(&["flow", "stop", "first", "--discard"]).await;
    let mut flows = BTreeSet::new();
    for _ in 0..rounds(5) {
        let begun = FLOWS.map(|flow| {
            let stop: &[&str] = if random.random() { &["flow", "stop", flow, "--discard"] } else { &["flow", "stop", flow] };
            let arguments = if flows.contains(flow) { stop } else { &["flow", "start", "b", flow] };
            weir.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        pass(Duration::from_millis(random.random_range(20..600))).await;
        weir.kill();
        for mut command in begun {
            command.wait().unwrap();
        }
        weir = up(folder.path(), &vhost).await;
        flows = settled(&weir, &vhost).await;
        println!("running after the kill: {flows:?}");
    }
    stop_all(&weir, &vhost).await;
    weir.must(&["flow", "start", "b", "last"]).await;
    echoes(&weir, "last", "still works").await;
    stop_all(&weir, &vhost).await;
    assert_eq!(weir.end().await.code(), Some(0));
}
