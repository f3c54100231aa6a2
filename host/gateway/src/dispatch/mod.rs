//! What the gateway knows of flows, so that a message goes in without a question to the config service, and ends what uses a flow when
//! the flow is stopped.
//!
//! A follower of config type `flow` keeps it up to date. It may be behind: who asks for a flow that is not known to run is answered by the
//! config service, and waits until the follower is as far as that answer.

mod answer;
mod dispatcher;
mod flow;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use weir_config::protocol::Key;
use weir_config::{Change, ConfigClient, Content, FollowerHandle, FollowerStatus};
use weir_flow::protocol::{FLOW_TYPE, FlowRecord, FlowStatus};

use crate::error::{GatewayError, Result};
use crate::gateway::Gateway;
use crate::guard::Caller;

pub(crate) use answer::{Answer, ask, not_sent, send};
pub(crate) use flow::{Flow, Interface, Line, SharedProducer};

/// How long the follower may be behind. In one process it is some milliseconds; longer than this it cannot fetch.
const BEHIND_TIME: Duration = Duration::from_secs(5);
/// Stopped flows whose names are remembered, to tell a flow that was stopped from one that never was; beyond it all are forgotten.
const MAX_STOPPED_COUNT: usize = 10_000;

/// The flows that run, and the ways to their interfaces.
pub(crate) struct Dispatch {
    config: ConfigClient,
    known: RwLock<KnownFlows>,
    /// The version of the configuration that is applied.
    version: watch::Receiver<u64>,
    follower: watch::Receiver<FollowerStatus>,
}

#[derive(Default)]
struct KnownFlows {
    records: HashMap<String, (String, Known)>,
    /// Records that cannot be read, so that each is reported once.
    unreadable: HashMap<String, String>,
    stopped: HashSet<String>,
}

/// What is known of a flow that has a record.
#[derive(Clone)]
enum Known {
    Running(Arc<Flow>),
    /// It is being stopped in a way that may still be refused.
    Undecided(Arc<Flow>),
    Starting,
    Stopping,
}

impl Dispatch {
    /// Nothing is known before the first [change](Dispatch::apply), with which the follower of this handle calls it.
    pub(crate) fn new(config: ConfigClient, follower: &FollowerHandle) -> Self {
        Dispatch { config, known: RwLock::default(), version: follower.version(), follower: follower.status() }
    }

    /// Takes over the records of all flows as they are now.
    pub(crate) fn apply(&self, change: &Change) {
        let Some(records) = change.types.get(FLOW_TYPE) else { return };
        self.known.write().unwrap_or_else(PoisonError::into_inner).apply(records);
    }

    /// Why the flows are not known as they are now, if they are not.
    /// The cause is only for callers with the token.
    pub(crate) fn problem(&self, caller: Caller) -> Option<String> {
        let status = self.follower.borrow();
        let problem = match (&status.fetch_error, status.version) {
            (None, version) if version > 0 => return None,
            (_, 0) => "the flows were not read yet",
            _ => "the flows cannot be read as they are now",
        };
        let cause = status.fetch_error.as_ref().filter(|_| matches!(caller, Caller::Trusted(_)));
        Some(cause.map_or_else(|| problem.to_owned(), |error| format!("{problem}: {error}")))
    }

    /// Finds an interface of a running flow; the errors name what there is.
    pub(crate) async fn find(&self, flow: &str, interface: &str) -> Result<Arc<Interface>> {
        if let Some(Known::Running(flow)) = self.known(flow) {
            return flow.interface(interface);
        }
        self.look_for(flow).await?.interface(interface)
    }

    /// Whether the flow of an interface was stopped, as the configuration is now. A stop that may still be refused is waited for.
    pub(crate) async fn is_stopped(&self, interface: &Interface) -> bool {
        if !interface.stopped.is_cancelled()
            && let Ok(version) = self.config.version().await
        {
            // If it stays behind, what is known has to do.
            let _ = self.reach(version).await;
            let _ = tokio::time::timeout(BEHIND_TIME, interface.decided()).await;
        }
        interface.stopped.is_cancelled()
    }

    /// Finds a flow that was not known to run a moment ago.
    async fn look_for(&self, id: &str) -> Result<Arc<Flow>> {
        let key = Key { config_type: FLOW_TYPE.to_owned(), key: id.to_owned() };
        let found = self.config.get(&[key]).await.map_err(GatewayError::Config)?;
        let Some(record) = found.value.into_iter().next().and_then(|value| value.value) else {
            return Err(self.not_there(id).await?);
        };
        self.reach(found.version).await?;
        match self.known(id) {
            Some(Known::Running(flow)) => Ok(flow),
            Some(Known::Undecided(_)) => Err(GatewayError::FlowStopping { flow: id.to_owned() }),
            Some(Known::Starting) => Err(GatewayError::FlowStarting { flow: id.to_owned() }),
            Some(Known::Stopping) => Err(GatewayError::FlowStopped { flow: id.to_owned() }),
            None => {
                read(&record).map_err(|source| GatewayError::NotJson { what: format!("the record of flow `{id}`"), source })?;
                Err(GatewayError::FlowStopped { flow: id.to_owned() })
            }
        }
    }

    async fn not_there(&self, id: &str) -> Result<GatewayError> {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).was_stopped(id) {
            return Ok(GatewayError::FlowStopped { flow: id.to_owned() });
        }
        let known = self.config.list(FLOW_TYPE).await.map_err(GatewayError::Config)?.value;
        Ok(GatewayError::UnknownFlow { flow: id.to_owned(), known })
    }

    /// Waits until what is known is at least as new as this version.
    async fn reach(&self, version: u64) -> Result<()> {
        let mut applied = self.version.clone();
        let reached = tokio::time::timeout(BEHIND_TIME, applied.wait_for(|applied| *applied >= version)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The follower ends with the gateway.
            Ok(Err(_)) => Err(GatewayError::ShuttingDown),
            Err(_) => Err(GatewayError::Behind { version }),
        }
    }

    fn known(&self, id: &str) -> Option<Known> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.records.get(id).map(|(_, known)| known.clone())
    }
}

impl KnownFlows {
    fn apply(&mut self, records: &Content) {
        let gone: Vec<String> = self.records.keys().filter(|id| !records.contains_key(*id)).cloned().collect();
        for id in gone {
            self.forget(&id);
        }
        self.unreadable.retain(|id, text| records.get(id) == Some(&*text));
        for (id, text) in records {
            if self.is_new(id, text) {
                self.take(id, text);
            }
        }
    }

    fn is_new(&self, id: &str, text: &str) -> bool {
        let known = self.records.get(id).map(|(text, _)| text).or_else(|| self.unreadable.get(id));
        known.is_none_or(|known| known != text)
    }

    /// Takes over one record that is new or changed.
    fn take(&mut self, id: &str, text: &str) {
        let record = match read(text) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(flow = %id, error = %weir_pubsub::chain(&error), "a flow record cannot be read, so the flow cannot be reached");
                self.forget(id);
                self.unreadable.insert(id.to_owned(), text.to_owned());
                return;
            }
        };
        let before = self.records.remove(id).map(|(_, known)| known);
        let now = match (record.status, before) {
            (Some(FlowStatus::Stopping), before) if record.is_refusing() => undecided(before, id, record),
            (Some(FlowStatus::Starting), before) => stopped(before, Known::Starting),
            (Some(FlowStatus::Stopping), before) => stopped(before, Known::Stopping),
            (None | Some(FlowStatus::Updating), Some(Known::Running(flow) | Known::Undecided(flow))) if flow.offers(&record) => {
                flow.set_undecided(false);
                Known::Running(flow)
            }
            (None | Some(FlowStatus::Updating), before) => stopped(before, Known::Running(Arc::new(Flow::new(id, record)))),
        };
        self.stopped.remove(id);
        self.records.insert(id.to_owned(), (text.to_owned(), now));
    }

    fn forget(&mut self, id: &str) {
        let before = self.records.remove(id).map(|(_, known)| known);
        if before.is_none() {
            return;
        }
        stopped(before, Known::Stopping);
        if self.stopped.len() >= MAX_STOPPED_COUNT {
            self.stopped.clear();
        }
        self.stopped.insert(id.to_owned());
    }

    fn was_stopped(&self, id: &str) -> bool {
        self.stopped.contains(id) || matches!(self.records.get(id), Some((_, Known::Stopping | Known::Undecided(_) | Known::Running(_))))
    }
}

/// What comes after; what ran before ends.
fn stopped(before: Option<Known>, after: Known) -> Known {
    if let Some(Known::Running(flow) | Known::Undecided(flow)) = before {
        flow.stop();
    }
    after
}

/// A flow whose stop may still be refused: what reads it goes on.
fn undecided(before: Option<Known>, id: &str, record: FlowRecord) -> Known {
    let flow = match before {
        Some(Known::Running(flow) | Known::Undecided(flow)) if flow.offers(&record) => flow,
        before => {
            stopped(before, Known::Stopping);
            Arc::new(Flow::new(id, record))
        }
    };
    flow.set_undecided(true);
    Known::Undecided(flow)
}

fn read(record: &str) -> Result<FlowRecord, serde_json::Error> {
    serde_json::from_str(record)
}

/// Why what uses an interface has to end: waits until the flow is stopped or the gateway ends.
pub(crate) async fn over(gateway: &Gateway, interface: &Interface) -> GatewayError {
    tokio::select! {
        biased;
        () = gateway.stopping.cancelled() => GatewayError::ShuttingDown,
        () = interface.stopped.cancelled() => interface.gone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn content(records: &[(&str, &str)]) -> Content {
        records.iter().map(|(id, record)| ((*id).to_owned(), (*record).to_owned())).collect()
    }

    fn running(known: &KnownFlows, id: &str) -> Arc<Interface> {
        match known.records.get(id) {
            Some((_, Known::Running(flow))) => flow.interface("in").unwrap(),
            _ => panic!("{id} does not run"),
        }
    }

    const RUNNING: &str = r#"{"blueprint-name": "b", "interfaces": {"in": {"flow": "flow:tg:in"}}}"#;

    #[test]
    fn a_flow_goes_on_while_it_offers_the_same_and_ends_when_it_stops() {
        let mut known = KnownFlows::default();
        known.apply(&content(&[("f", RUNNING)]));
        let first = running(&known, "f");
        let updating = RUNNING.replace("\"blueprint", "\"status\": \"updating\", \"blueprint");
        known.apply(&content(&[("f", &updating)]));
        assert!(Arc::ptr_eq(&first, &running(&known, "f")));
        let elsewhere = RUNNING.replace("flow:tg:in", "flow:tg:other");
        known.apply(&content(&[("f", &elsewhere)]));
        assert!(first.stopped.is_cancelled());
        let second = running(&known, "f");
        known.apply(&content(&[("f", &RUNNING.replace("\"blueprint", "\"status\": \"stopping\", \"blueprint"))]));
        assert!(second.stopped.is_cancelled() && known.was_stopped("f"));
        known.apply(&content(&[]));
        assert!(known.records.is_empty() && known.was_stopped("f") && !known.was_stopped("g"));
        known.apply(&content(&[("f", RUNNING)]));
        assert!(!running(&known, "f").stopped.is_cancelled() && known.stopped.is_empty());
    }

    #[test]
    fn what_reads_a_flow_goes_on_while_its_stop_may_be_refused() {
        let refusing = RUNNING.replace("\"blueprint", "\"status\": \"stopping\", \"backlog\": \"refuse\", \"blueprint");
        let mut known = KnownFlows::default();
        known.apply(&content(&[("f", RUNNING)]));
        let first = running(&known, "f");
        known.apply(&content(&[("f", &refusing)]));
        assert!(!first.stopped.is_cancelled() && matches!(known.records["f"].1, Known::Undecided(_)));
        assert!(first.decided().now_or_never().is_none(), "writers wait");
        known.apply(&content(&[("f", RUNNING)]));
        assert!(Arc::ptr_eq(&first, &running(&known, "f")), "the stop was refused");
        assert!(first.decided().now_or_never().is_some());
        known.apply(&content(&[("f", &refusing)]));
        known.apply(&content(&[]));
        assert!(first.stopped.is_cancelled() && known.was_stopped("f"));
        known.apply(&content(&[("f", &refusing)]));
        known.apply(&content(&[("f", RUNNING)]));
        assert!(!running(&known, "f").stopped.is_cancelled(), "one that was stopping at the gateway's start");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_no_running_flow() {
        let mut known = KnownFlows::default();
        known.apply(&content(&[("f", RUNNING)]));
        let before = running(&known, "f");
        known.apply(&content(&[("f", "nonsense")]));
        assert!(before.stopped.is_cancelled() && known.records.is_empty());
        known.apply(&content(&[("f", RUNNING)]));
        assert!(!running(&known, "f").stopped.is_cancelled());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_reported_once() {
        let mut known = KnownFlows::default();
        known.apply(&content(&[("f", "nonsense")]));
        assert!(!known.is_new("f", "nonsense") && known.is_new("f", "more nonsense") && known.is_new("f", RUNNING));
        known.apply(&content(&[]));
        assert!(known.unreadable.is_empty());
    }
}
