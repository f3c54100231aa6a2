//! What must hold after each round: nothing is between two states, and nothing is left over.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use weir_tests::wait::pass;

use super::plan::Gateway;
use super::roles::Roles;
use crate::guests::ECHO;

/// The flow service checks every 30 s for operations left between two states.
const LONGEST_RECOVERY: Duration = Duration::from_secs(60);

/// Fails with a text that states the difference.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}

fn keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> BTreeSet<String> {
    keys.into_iter().map(str::to_owned).collect()
}

impl Roles {
    /// Waits until exactly these flows run on all hosts, the broker has their queues and no others, and no step is left over; panics with
    /// the differences.
    pub(super) async fn is_whole(&self, flows: &[&str]) {
        self.is_whole_with_one_of(&[flows]).await;
    }

    /// The same for one of several sets of flows; returns which one.
    pub(super) async fn is_whole_with_one_of<'f>(&self, choices: &[&'f [&'f str]]) -> &'f [&'f str] {
        let end = Instant::now() + LONGEST_RECOVERY;
        loop {
            let mut wrong = String::new();
            for flows in choices {
                match self.look(flows).await {
                    Ok(()) => return flows,
                    Err(error) => wrong.push_str(&format!("\nof {flows:?}: {error}")),
                }
            }
            assert!(Instant::now() < end, "after {} s it is not as it should be{wrong}", LONGEST_RECOVERY.as_secs());
            pass(Duration::from_millis(50)).await;
        }
    }

    async fn look(&self, flows: &[&str]) -> Result<(), String> {
        self.configuration_is_whole(flows).await?;
        self.gateways_are_ready().await?;
        self.status_is_whole(flows).await
    }

    async fn configuration_is_whole(&self, flows: &[&str]) -> Result<(), String> {
        let (found, all) = (self.space.queues().await, self.config.everything().await.map_err(|error| weir_pubsub::chain(&error))?.value);
        let of_type = |name: &str| all.get(name).cloned().unwrap_or_default();
        let (records, entries) = (of_type("flow"), of_type("processor:echo"));
        expect("the flows are", records.keys().cloned().collect(), keys(flows.iter().copied()))?;
        for (flow, record) in &records {
            let status = serde_json::from_str::<Value>(record).unwrap()["status"].clone();
            expect(&format!("the status of flow {flow} is"), status, Value::Null)?;
        }
        expect("the entries of echo are", entries.keys().cloned().collect(), keys(flows.iter().copied()))?;
        for (flow, entry) in &entries {
            let version = serde_json::from_str::<Value>(entry).unwrap()["component"]["version"].clone();
            expect(&format!("the entry of flow {flow} names the version"), version, self.version_of(flow).into())?;
        }
        let queues = flows.iter().flat_map(|flow| self.space.queues_of(ECHO, flow));
        let expected: BTreeSet<String> = queues.map(|queue| queue.wire_name()).collect();
        expect("the queues of flows on the broker are", &found, &expected)?;
        expect("the records of queues are", of_type("queue-made").into_keys().collect(), expected.clone())?;
        expect("queues left over from stops are", of_type("leftover").into_keys().collect(), BTreeSet::new())
    }

    async fn gateways_are_ready(&self) -> Result<(), String> {
        for gateway in Gateway::BOTH {
            let weir = self.gateway(*gateway);
            let answer = weir.http().get(weir.path("/readyz")).send().await;
            let answer = answer.map_err(|error| format!("the gateway {gateway:?} does not answer: {error}"))?;
            if !answer.status().is_success() {
                return Err(format!("the gateway {gateway:?} is not ready: {}", answer.text().await.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// According to the gateway, which knows hosts only by their reports.
    async fn status_is_whole(&self, flows: &[&str]) -> Result<(), String> {
        let status = self.gateway(Gateway::Store).get("/api/v1/weir/status").await;
        let none = Vec::new();
        let reports = status["hosts"].as_array().unwrap_or(&none);
        for (name, process) in &self.hosts {
            let report = reports.iter().find(|report| report["pid"] == process.pid());
            let report = report.ok_or_else(|| format!("host {name} (process {}) is not in the status: {status}", process.pid()))?;
            expect(&format!("the presence of host {name} is"), &report["presence"], &"reporting".into())?;
            for flow in flows {
                let processors = report["processors"].as_array().unwrap_or(&none);
                let echo = processors.iter().find(|processor| processor["variant"] == *flow).unwrap_or(&Value::Null);
                let what = format!("echo of flow {flow} on host {name} is");
                let found = (echo["state"].as_str(), echo["component"]["version"].as_str());
                expect(&what, found, (Some("running"), Some(self.version_of(flow))))?;
            }
        }
        let letters = self.gateway(Gateway::Front).get("/api/v1/weir/dead-letters").await;
        expect("the dead letters are", &letters["letters"], &Value::Array(Vec::new()))
    }
}
