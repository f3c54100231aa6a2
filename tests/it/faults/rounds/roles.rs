//! The processes: a config service, two flow services, three hosts, two gateways.

use std::collections::BTreeMap;

use weir_config::ConfigClient;
use weir_flow::FlowClient;
use weir_pubsub::{ConsumerOptions, Message};
use weir_tests::failpoints::Failpoints;
use weir_tests::roles::{Process, Role, Site};
use weir_tests::tally::Tally;
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;
use weir_tests::{guest_path, marked_guest};

use super::plan::Gateway;
use crate::faults::failpoints::Operation;
use crate::faults::load::{Load, Pace};
use crate::faults::orders::{Begun, Order, Orders};
use crate::faults::space::{ProxiedLine, TestBroker};
use crate::guests;

/// The hosts, by name.
pub(super) const HOSTS: [&str; 3] = ["a", "b", "c"];
/// The versions of echo between which flow `one` is swapped.
const VERSIONS: [&str; 2] = ["1.0.0", "2.0.0"];

/// The processes and their load.
pub(super) struct RolesFixture {
    pub(super) load: Load,
    pub(super) roles: Roles,
}

/// A process that serves flows, with its own connection to the broker.
pub(super) struct FlowServer {
    pub(super) process: Process,
    pub(super) line: ProxiedLine,
    pub(super) steps: Failpoints,
    name: &'static str,
}

/// The processes, and clients of them.
pub(super) struct Roles {
    config_service: Option<Process>,
    /// The flow service that leads, and the standby.
    pub(super) leader: FlowServer,
    pub(super) standby: FlowServer,
    pub(super) hosts: BTreeMap<&'static str, Process>,
    gateways: BTreeMap<Gateway, Weir>,
    pub(super) config: ConfigClient,
    orders: Orders,
    /// The index in [`VERSIONS`] of what flow `one` runs.
    version: usize,
    pub(super) site: Site,
    pub(super) space: TestBroker,
}

impl RolesFixture {
    /// Everything, with echo running in flow `one`.
    pub(super) async fn new(space: TestBroker) -> Self {
        let site = Site::with(space.environment(None));
        let config_service = site.start(Role::Config, "config", &[]).await;
        let leader = FlowServer::start(&site, &space, "flow-1", " is running the flow service").await;
        let load = Load::on(&space, Pace::STEADY).await;
        let config = ConfigClient::connect(load.backend.clone(), space.name()).await.unwrap();
        let flows = FlowClient::connect(load.backend.clone(), space.name()).await.unwrap();
        let standby = FlowServer::stand_by(&site, &space, "flow-2").await;
        let (hosts, gateways) = (BTreeMap::new(), BTreeMap::new());
        let config_service = Some(config_service);
        let orders = Orders { flows, keeps_requests: space.keeps_requests() };
        let mut roles = Roles { config_service, leader, standby, hosts, gateways, config, orders, version: 0, site, space };
        for gateway in Gateway::BOTH {
            roles.start_gateway(*gateway).await;
        }
        roles.start_hosts(&HOSTS).await;
        roles.deploy().await;
        roles.perform(Operation::Start, "one").await;
        roles.is_whole(&["one"]).await;
        RolesFixture { load, roles }
    }

    /// Ends everything as an operator would; returns the outcome of all messages.
    pub(super) async fn end(self) -> Tally {
        let RolesFixture { load, roles } = self;
        let tally = load.arrived().await;
        let Roles { config_service, leader, standby, hosts, gateways, .. } = roles;
        for process in hosts.into_values().chain([standby.process, leader.process]).chain(config_service) {
            let role = process.role();
            assert_eq!(process.end().await.code(), Some(0), "{role:?}");
        }
        for gateway in gateways.into_values() {
            assert_eq!(gateway.end().await.code(), Some(0));
        }
        tally
    }
}

impl FlowServer {
    async fn start(site: &Site, space: &TestBroker, name: &'static str, says: &str) -> Self {
        let line = space.line().await;
        let mut command = site.command(Role::Flow, name, &[]);
        command.envs(space.environment(Some(&line)));
        let steps = Failpoints::of(&mut command, &site.data(name));
        let mut process = site.run(Role::Flow, name, command);
        process.says(says).await;
        FlowServer { process, line, steps, name }
    }

    async fn stand_by(site: &Site, space: &TestBroker, name: &'static str) -> Self {
        Self::start(site, space, name, "standing by: another flow service holds its lock").await
    }
}

/// Processes that are killed and restarted.
impl Roles {
    pub(super) fn kill_config(&mut self) {
        self.config_service.take().expect("it runs").kill();
    }

    pub(super) async fn start_config(&mut self) {
        self.config_service = Some(self.site.start(Role::Config, "config", &[]).await);
    }

    pub(super) fn kill_host(&mut self, name: &str) {
        self.hosts.remove(name).expect("it runs").kill();
    }

    pub(super) async fn end_host(&mut self, name: &str) {
        assert_eq!(self.hosts.remove(name).expect("it runs").end().await.code(), Some(0), "host {name}");
    }

    /// Starts hosts without waiting for anything.
    pub(super) fn begin_hosts(&mut self, names: &[&'static str]) {
        // The last one fetches its components from the store, the others through the other gateway.
        let store = self.gateway_url(Gateway::Store);
        for name in names {
            let mut arguments = vec!["--name", name];
            if *name == HOSTS[2] {
                arguments.extend(["--gateway", &store]);
            }
            self.hosts.insert(name, self.site.begin(Role::Host, name, &arguments));
        }
    }

    pub(super) async fn start_hosts(&mut self, names: &[&'static str]) {
        self.begin_hosts(names);
        for name in names {
            self.host(name).says(" is running the host of processors").await;
        }
    }

    pub(super) fn host(&mut self, name: &str) -> &mut Process {
        self.hosts.get_mut(name).expect("it runs")
    }

    pub(super) fn kill_gateway(&mut self, gateway: Gateway) {
        self.gateways.remove(&gateway).expect("it runs").kill();
    }

    pub(super) async fn start_gateway(&mut self, gateway: Gateway) {
        let store = self.gateway_url(Gateway::Store);
        let arguments = ["--components-from", &store];
        let arguments = if gateway == Gateway::Front { &arguments[..] } else { &[] };
        let started = self.site.gateway(file_name(gateway), arguments).await;
        self.gateways.insert(gateway, started);
    }

    pub(super) fn gateway(&self, gateway: Gateway) -> &Weir {
        &self.gateways[&gateway]
    }

    /// The URL of a gateway, whether it runs or not.
    pub(super) fn gateway_url(&self, gateway: Gateway) -> String {
        format!("http://{}", self.site.gateway_address(file_name(gateway)))
    }

    /// The leader is gone: the standby leads, and another one stands by.
    pub(super) async fn replace_leader(&mut self) {
        std::mem::swap(&mut self.leader, &mut self.standby);
        self.standby = FlowServer::stand_by(&self.site, &self.space, self.standby.name).await;
    }
}

/// The name of a gateway's data folder. Hosts find the front without configuration.
fn file_name(gateway: Gateway) -> &'static str {
    match gateway {
        Gateway::Store => "store",
        Gateway::Front => "gateway",
    }
}

/// Operations on flows.
impl Roles {
    /// Two versions of echo, and the blueprint of both flows.
    async fn deploy(&self) {
        let other = self.site.data("other.wasm");
        std::fs::write(&other, marked_guest(guests::ECHO, 2)).unwrap();
        let files = [guest_path(guests::ECHO), other];
        for (version, file) in VERSIONS.iter().zip(&files) {
            let deployment = format!("echo@{version}");
            self.gateway(Gateway::Front).must(&["deploy", &deployment, file.to_str().unwrap()]).await;
        }
        let mut definition = self.space.blueprint(guests::ECHO);
        definition["flow"]["echo:{id}"]["component"] = format!("echo@{}", VERSIONS[0]).into();
        self.orders.flows.put_blueprint("b", &definition.to_string()).await.unwrap();
    }

    /// The version of echo that a flow runs.
    pub(super) fn version_of(&self, flow: &str) -> &'static str {
        VERSIONS[if flow == "one" { self.version } else { 0 }]
    }

    /// Requests an operation; it must succeed eventually, whichever flow service executes it. A swap is to the other version.
    pub(super) fn begin(&mut self, operation: Operation, flow: &'static str) -> Begun {
        if operation == Operation::Swap {
            self.version = 1 - self.version;
        }
        let component = format!("echo@{}", self.version_of(flow));
        self.orders.begin(Order { operation, flow, processor: guests::ECHO, component })
    }

    /// The answer to a requested operation.
    pub(super) async fn answer(&self, begun: Begun) -> Result<(), String> {
        self.orders.answer(begun).await
    }

    pub(super) async fn perform(&mut self, operation: Operation, flow: &'static str) {
        let begun = self.begin(operation, flow);
        assert_eq!(self.answer(begun).await, Ok(()), "{operation:?} of flow {flow}");
    }

    /// Checks that a message passes through a flow.
    pub(super) async fn passes(&self, load: &Load, flow: &str) {
        let [input, out] = self.space.queues_of(guests::ECHO, flow);
        let producer = load.backend.producer(input.topic()).await.unwrap();
        within("a confirm", producer.publish_confirmed(Message::new("through"))).await.unwrap();
        let reader = load.backend.consumer(out.topic(), out.subscription(), ConsumerOptions::default()).await.unwrap();
        let delivery = within(format!("a message through flow {flow}"), reader.receive()).await.unwrap();
        assert_eq!(delivery.message.body, "through");
        load.backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }

    /// The id of the flow service that may write.
    pub(super) async fn leading_id(&self) -> Option<String> {
        let read = || async { self.config.get_one("flow-service", "leader").await.ok() };
        eventually(DEADLINE, "an answer of the config service", read).await
    }
}
