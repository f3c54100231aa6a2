//! One role per process, on one broker: any order of starts, any of them killed and restarted, and what the status shows of it.

mod orders;
mod restarts;
mod shown;
mod swaps;

use serde_json::Value;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::roles::{Process, Role, Site};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use crate::cli::start_echo;

/// A Weir of four or more processes, with a flow of echo.
struct RolesFixture {
    config: Process,
    flow: Process,
    hosts: Vec<Process>,
    gateway: Weir,
    site: Site,
    vhost: Vhost,
}

impl RolesFixture {
    /// With hosts with these names, which are also the names of their data folders.
    async fn of(hosts: &[&str]) -> Self {
        let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
        Self::on(vhost, Site::on, hosts).await
    }

    async fn on(vhost: Vhost, site: impl FnOnce(&str) -> Site, hosts: &[&str]) -> Self {
        let site = site(vhost.url());
        let config = site.start(Role::Config, "config", &[]).await;
        let flow = site.start(Role::Flow, "flow", &[]).await;
        let gateway = site.gateway("gateway", &[]).await;
        let mut fixture = RolesFixture { config, flow, hosts: Vec::new(), gateway, site, vhost };
        for host in hosts {
            fixture.hosts.push(fixture.site.start(Role::Host, host, &["--name", host]).await);
        }
        ready(&fixture.gateway).await;
        start_echo(&fixture.gateway, "b", "one").await;
        fixture.until_all_run().await;
        fixture
    }

    /// Waits until all hosts take messages of the flow.
    async fn until_all_run(&self) {
        eventually(DEADLINE, "all hosts to run echo", || async {
            let hosts = hosts(&self.gateway).await;
            let runs = |host: &Value| host["presence"] == "reporting" && host["processors"][0]["state"] == "running";
            (hosts.iter().filter(|host| runs(host)).count() == self.hosts.len()).then_some(())
        })
        .await;
    }

    /// Ends everything as an operator would.
    async fn end(self) {
        for process in self.hosts.into_iter().chain([self.flow, self.config]) {
            let role = process.role();
            assert_eq!(process.end().await.code(), Some(0), "{role:?}");
        }
        assert_eq!(self.gateway.end().await.code(), Some(0));
    }
}

/// Waits until the gateway is ready: services and a host are running.
async fn ready(gateway: &Weir) {
    eventually(DEADLINE, "the gateway to be ready", || async {
        let answer = gateway.http().get(gateway.path("/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// The hosts in the gateway's status.
async fn hosts(gateway: &Weir) -> Vec<Value> {
    gateway.get("/api/v1/weir/status").await["hosts"].as_array().unwrap().clone()
}

/// The output of a command on both streams.
async fn printed(gateway: &Weir, arguments: &[&str]) -> (Option<i32>, String) {
    let output = gateway.run(arguments).await;
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
