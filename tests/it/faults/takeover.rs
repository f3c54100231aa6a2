//! Two processes that serve flows over one broker: one leads, and the other takes over when the first is killed or suspended at a named
//! step of an operation. Flows are then started or stopped, never in between, and further actions of the overtaken one have no effect.
//!
//! The configuration is served by the test itself, so that it survives both.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use weir_config::{Batch, ConfigClient, ConfigService, Store};
use weir_flow::FlowClient;
use weir_pubsub::{Backend, Message};
use weir_tests::failpoints::Failpoints;
use weir_tests::wait::{DEADLINE, eventually, pass};
use weir_tests::weir::command;

use super::failpoints::{Operation, STEPS};
use super::orders::{Begun, Order, Orders};
use super::space::{ProxiedLine, TestBroker};

/// How long the standby may need in addition to the broker's own release of the lock.
const TAKEOVER_TIME: Duration = Duration::from_secs(5);

/// A process that serves flows, with its own connection to the broker.
struct Server {
    child: Child,
    line: ProxiedLine,
    log: PathBuf,
    steps: Failpoints,
}

impl Server {
    async fn start(fixture: &WeirFixture) -> Self {
        let data = fixture.folder.path().join(format!("{:08x}", rand::random::<u32>()));
        fs::create_dir_all(&data).unwrap();
        let line = fixture.space.line().await;
        let log = data.join("test.log");
        let output = File::create(&log).unwrap();
        let mut command = command(&data, &["up", "--listen", "127.0.0.1:0"]);
        command.envs(fixture.space.environment(Some(&line)));
        let steps = Failpoints::of(&mut command, &data);
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Server { child, line, log, steps }
    }

    /// Starts a standby.
    async fn stand_by(fixture: &WeirFixture) -> Self {
        let server = Self::start(fixture).await;
        server.logs("standing by: another flow service holds its lock").await;
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn logs(&self, text: &str) {
        eventually(DEADLINE, format!("the line {text:?}"), || async { self.log().contains(text).then_some(()) }).await;
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what {} logged ---\n{}---", self.child.id(), self.log());
        }
    }
}

/// What the processes share.
struct WeirFixture {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    orders: Orders,
    _config_service: ConfigService,
    folder: TempDir,
    space: TestBroker,
}

impl WeirFixture {
    async fn new(space: TestBroker) -> Self {
        let backend = space.client(None).await.backend();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(backend.clone(), space.name(), store).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), space.name()).await.unwrap();
        let flows = FlowClient::connect(backend.clone(), space.name()).await.unwrap();
        let mut batch = Batch::new().put("flow-blueprint", "b", blueprint(&space).to_string());
        for (version, digit) in [("1.0.0", "a"), ("2.0.0", "b")] {
            let digest = format!("sha256:{}", digit.repeat(64));
            let descriptor = json!({"schema": 1, "consumers": ["input"], "producers": ["output"]});
            let record = json!({"digest": digest, "size-bytes": 1, "world": "0.1.0", "descriptor": descriptor});
            batch = batch.put("component", format!("work@{version}"), record.to_string());
        }
        config.apply(batch).await.unwrap();
        let orders = Orders { flows, keeps_requests: space.keeps_requests() };
        WeirFixture { backend, config, orders, _config_service: config_service, folder, space }
    }

    async fn leader(&self) -> Option<String> {
        self.config.get_one("flow-service", "leader").await.unwrap()
    }

    /// Waits until a service other than the one with this id leads.
    async fn led_by_another(&self, before: &Option<String>) {
        eventually(DEADLINE, "another leader", || async { (self.leader().await != *before).then_some(()) }).await;
    }

    fn begin(&self, operation: Operation) -> Begun {
        self.orders.begin(order(operation))
    }

    async fn answer(&self, begun: Begun) {
        assert_eq!(self.orders.answer(begun).await, Ok(()));
    }

    async fn perform(&self, operation: Operation) {
        self.answer(self.begin(operation)).await;
    }

    /// The time until an operation is answered.
    async fn first_answer(&self, since: Instant) -> Duration {
        self.orders.are_answered().await;
        since.elapsed()
    }

    fn flow_queues(&self) -> BTreeSet<String> {
        self.space.queues_of(PROCESSOR, "one").map(|queue| queue.wire_name()).into()
    }

    /// Waits until the flow is completely in the state that an operation leads to: nothing is in between, and every queue has an owner.
    async fn is_done(&self, operation: Operation) {
        let is_started = matches!(operation, Operation::Start | Operation::Swap);
        let expected = if is_started { self.flow_queues() } else { BTreeSet::new() };
        eventually(DEADLINE, format!("the flow after {operation:?}"), || async {
            let record: Option<Value> = self.config.get_one("flow", "one").await.unwrap().map(|text| serde_json::from_str(&text).unwrap());
            let entry = self.config.get_one("processor:work", "one").await.unwrap();
            let is_whole = record.is_some() == is_started && record.is_none_or(|record| record.get("status").is_none());
            let is_swapped = entry.as_ref().is_some_and(|entry| entry.contains("2.0.0"));
            let is_right = entry.is_some() == is_started && is_swapped == (operation == Operation::Swap);
            (is_whole && is_right && self.space.queues().await == expected).then_some(())
        })
        .await;
        let made: BTreeSet<String> = self.config.list("queue-made").await.unwrap().value.into_iter().collect();
        assert_eq!(made, expected);
    }
}

/// The processor of the flow. No component is run for it.
const PROCESSOR: &str = "work";

fn order(operation: Operation) -> Order {
    Order { operation, flow: "one", processor: PROCESSOR, component: "work@2.0.0".to_owned() }
}

fn blueprint(space: &TestBroker) -> Value {
    let mut blueprint = space.blueprint(PROCESSOR);
    blueprint["flow"]["work:{id}"]["component"] = "work@1.0.0".into();
    blueprint
}

/// Printed in every run of the tests, also if they pass.
fn show(text: &str) {
    use std::io::Write as _;
    std::io::stdout().write_all(format!("\n{text}\n").as_bytes()).unwrap();
}

fn middle(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("{} ms (at most {} ms)", times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
}

/// Kills the leader at every step in turn: the standby answers the request and completes the operation.
pub(crate) async fn is_killed_at_every_step(space: TestBroker, count: u32) {
    let fixture = WeirFixture::new(space).await;
    let before = fixture.leader().await;
    let mut leader = Server::start(&fixture).await;
    fixture.led_by_another(&before).await;
    let mut times = Vec::new();
    for round in 0..count {
        let (operation, step) = STEPS[round as usize % STEPS.len()];
        let standby = Server::stand_by(&fixture).await;
        if operation != Operation::Start {
            fixture.perform(Operation::Start).await;
        }
        leader.steps.hold(step);
        let begun = fixture.begin(operation);
        leader.steps.reached(step).await;
        let killed = Instant::now();
        leader.signal(Signal::KILL);
        times.push(fixture.first_answer(killed).await);
        fixture.answer(begun).await;
        fixture.is_done(operation).await;
        if matches!(operation, Operation::Start | Operation::Swap) {
            fixture.perform(Operation::Stop).await;
            fixture.is_done(Operation::Stop).await;
        }
        leader = standby;
    }
    let slowest = *times.iter().max().unwrap();
    show(&format!(
        "flow service killed at a step, {count} rounds, {}: the standby answers after {}",
        fixture.space.broker(),
        middle(times)
    ));
    // If requests are lost, this includes the time for repeating them.
    assert!(slowest < TAKEOVER_TIME || !fixture.space.keeps_requests(), "{slowest:?}");
}

/// How a suspended leader loses its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Its connections are cut, as after missed heartbeats.
    Connections,
    /// An operator deletes the queues of the lock and of the requests: all its connections stay.
    Queues,
}

impl WeirFixture {
    async fn lose(&self, server: &Server, loss: Loss) {
        match loss {
            Loss::Connections => server.line.cut(),
            Loss::Queues => self.space.delete_lock_of_flows().await,
        }
    }
}

/// A leader is suspended at a step, the standby leads, completes the operation and does the opposite; then the first is resumed.
async fn goes_on(fixture: &WeirFixture, leader: Server, standby: &Server, (operation, step): (Operation, &str), loss: Loss) {
    if operation != Operation::Start {
        fixture.perform(Operation::Start).await;
    }
    let first = fixture.leader().await;
    leader.steps.hold(step);
    let begun = fixture.begin(operation);
    leader.steps.reached(step).await;
    leader.signal(Signal::STOP);
    fixture.lose(&leader, loss).await;
    fixture.led_by_another(&first).await;
    if loss == Loss::Connections {
        fixture.answer(begun).await;
    } else {
        // The request was deleted with its queue: the operation is completed or undone, unless it was done.
        begun.give_up();
        fixture.orders.are_answered().await;
    }
    // Whatever the outcome, the standby starts the flow again, and a message waits in it.
    let _ = fixture.orders.perform(order(Operation::Stop)).await;
    fixture.is_done(Operation::Stop).await;
    fixture.perform(Operation::Start).await;
    fixture.is_done(Operation::Start).await;
    let [input, _] = fixture.space.queues_of(PROCESSOR, "one");
    fixture.backend.producer(input.topic()).await.unwrap().publish_confirmed(Message::new("kept")).await.unwrap();
    let (everything, led) = (fixture.config.everything().await.unwrap(), fixture.leader().await);
    leader.steps.go_on(step);
    leader.signal(Signal::CONT);
    leader.logs("another flow service holds").await;
    // It stands by, and has had enough time for anything it might have done.
    pass(Duration::from_millis(300)).await;
    assert_eq!(fixture.config.everything().await.unwrap(), everything, "{operation:?}: it wrote, {loss:?}");
    assert_eq!(fixture.leader().await, led);
    fixture.is_done(Operation::Start).await;
    let stats = fixture.backend.inspect().stats(&input).await.unwrap();
    assert_eq!(stats.ready_count, Some(1), "the message of the flow is kept");
    assert!(!standby.log().contains("another flow service has taken over"));
    fixture.perform(Operation::Stop).await;
    fixture.is_done(Operation::Stop).await;
}

/// Leaders are suspended at every step in turn, and resumed after another took over: they write nothing and delete nothing.
pub(crate) async fn goes_on_after_a_stop(space: TestBroker, count: u32) {
    let fixture = WeirFixture::new(space).await;
    for round in 0..count as usize {
        let loss = if (round + round / STEPS.len()).is_multiple_of(2) { Loss::Connections } else { Loss::Queues };
        let before = fixture.leader().await;
        let leader = Server::start(&fixture).await;
        fixture.led_by_another(&before).await;
        let standby = Server::stand_by(&fixture).await;
        goes_on(&fixture, leader, &standby, STEPS[round % STEPS.len()], loss).await;
    }
}
