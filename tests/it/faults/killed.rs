//! `weir up` over a broker, killed without warning: nothing confirmed is lost, and no flow stays between two states.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use weir_pubsub::Queue;
use weir_tests::guest_path;
use weir_tests::tally::rounds;
use weir_tests::wait::{DEADLINE, before, eventually, pass, seed};
use weir_tests::weir::Weir;

use super::load::{self, Load, Pace};
use super::space::TestBroker;
use crate::guests::ECHO;
use crate::rabbitmq::up::echoes;

async fn up(data: &Path, space: &TestBroker) -> Weir {
    let environment = space.environment(None);
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // The broker releases what the previous process held as soon as it detects the end of its connections.
    before(load::DEADLINE, "weir up", Weir::up_in(data, &[], &environment)).await
}

/// Deploys echo, and stores a blueprint with it.
async fn deploy_echo(weir: &Weir, space: &TestBroker) {
    weir.must(&["deploy", guest_path(ECHO).to_str().unwrap()]).await;
    let file = weir.data().join("blueprint.json");
    std::fs::write(&file, space.blueprint(ECHO).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
}

/// Under load: nothing is lost, and a stop leaves nothing behind.
pub(crate) async fn is_killed_under_load(space: TestBroker) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let weir = up(folder.path(), &space).await;
    deploy_echo(&weir, &space).await;
    let before = space.everything().await;
    weir.must(&["flow", "start", "b", "one"]).await;
    let load = Load::on(&space, Pace::FULL).await;
    let faults = async {
        let mut weir = weir;
        for _ in 0..rounds(4) {
            pass(Duration::from_millis(random.random_range(100..1_500))).await;
            weir.kill();
            weir = up(folder.path(), &space).await;
        }
        weir
    };
    let weir = load.send_during(faults).await;
    load.arrived().await.show(&format!("weir up killed under load, {}", space.broker()));
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    eventually(DEADLINE, "the queues to be gone", || async { space.queues().await.is_empty().then_some(()) }).await;
    assert_eq!(weir.end().await.code(), Some(0));
    drop(load);
    leaves_nothing(&space, &before).await;
}

/// Faults of the broker strike under load while Weir runs: nothing is lost, flows can be started and stopped afterwards, and nothing is left behind.
pub(crate) async fn runs_on_during(space: TestBroker, test: &str, faults: impl Future<Output = ()>) {
    let folder = tempfile::tempdir().unwrap();
    let weir = up(folder.path(), &space).await;
    deploy_echo(&weir, &space).await;
    let before = space.everything().await;
    weir.must(&["flow", "start", "b", "one"]).await;
    let load = Load::on(&space, Pace::FULL).await;
    load.send_during(faults).await;
    load.arrived().await.show(&format!("{test}, {}", space.broker()));
    weir.must(&["flow", "start", "b", "two"]).await;
    echoes(&weir, "two", "all the same").await;
    for flow in ["one", "two"] {
        // The admin API of Pulsar may fail for a moment after a node has returned: unavailable (69), and nothing else, is worth a retry.
        let stop = || async { weir.run(&["flow", "stop", flow, "--discard"]).await.status.code().filter(|code| *code != 69) };
        assert_eq!(eventually(DEADLINE, format!("flow {flow} to stop"), stop).await, 0);
    }
    drop(load);
    assert_eq!(weir.end().await.code(), Some(0));
    leaves_nothing(&space, &before).await;
}

/// Waits until the broker has only the queues that it had before; readers that have just left may still be listed.
async fn leaves_nothing(space: &TestBroker, before: &BTreeSet<String>) {
    let seen = Mutex::new(BTreeSet::new());
    let look = || async {
        let more: BTreeSet<String> = space.everything().await.difference(before).cloned().collect();
        let is_none = more.is_empty();
        *seen.lock().unwrap() = more;
        is_none.then_some(())
    };
    let gone = tokio::time::timeout(DEADLINE, eventually(2 * DEADLINE, "nothing to be left", look)).await;
    assert!(gone.is_ok(), "left behind: {:?}", seen.lock().unwrap());
}

/// The flows that are interrupted in their start or stop.
const FLOWS: [&str; 4] = ["one", "two", "three", "four"];

/// The flows that run, once none is between two states.
async fn running(weir: &Weir) -> Option<BTreeSet<String>> {
    let output = weir.run(&["flow", "list", "--json"]).await;
    let flows: Value = serde_json::from_slice(&output.stdout).ok()?;
    let flows = flows.as_array()?.iter();
    flows.map(|flow| (flow["status"] == "running").then(|| flow["id"].as_str().unwrap().to_owned())).collect()
}

fn queues_of(space: &TestBroker, flows: &BTreeSet<String>) -> BTreeSet<String> {
    flows.iter().flat_map(|flow| space.queues_of(ECHO, flow)).map(|queue: Queue| queue.wire_name()).collect()
}

/// The running flows, once the broker has their queues and no others.
async fn settled(weir: &Weir, space: &TestBroker) -> BTreeSet<String> {
    let mut seen = String::new();
    let look = async {
        loop {
            let (flows, queues) = (running(weir).await, space.queues().await);
            match flows {
                Some(flows) if queues_of(space, &flows) == queues => return flows,
                flows => seen = format!("flows {flows:?}, queues {queues:?}"),
            }
            pass(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(load::DEADLINE, look).await;
    found.unwrap_or_else(|_| panic!("flows are between two states, or queues have no owner: {seen}"))
}

/// Stops all flows. A request from before a kill may be executed only now: the queue of requests survives the process.
async fn stop_all(weir: &Weir, space: &TestBroker) {
    let stopped = async {
        loop {
            let flows = settled(weir, space).await;
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

/// While flows are started and stopped: each runs, or is gone with its queues.
pub(crate) async fn is_killed_during_starts_and_stops(space: TestBroker) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let mut weir = up(folder.path(), &space).await;
    deploy_echo(&weir, &space).await;
    let before = space.everything().await;
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
        weir = up(folder.path(), &space).await;
        flows = settled(&weir, &space).await;
        println!("running after the kill: {flows:?}");
    }
    stop_all(&weir, &space).await;
    weir.must(&["flow", "start", "b", "last"]).await;
    echoes(&weir, "last", "still works").await;
    stop_all(&weir, &space).await;
    assert_eq!(weir.end().await.code(), Some(0));
    leaves_nothing(&space, &before).await;
}
