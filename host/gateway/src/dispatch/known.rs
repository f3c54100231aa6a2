//! The known flows, from their records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weir_config::Content;
use weir_flow::protocol::{FlowRecord, FlowStatus};

use super::flow::Flow;

/// Maximum number of stopped flows whose names are kept, to distinguish them from flows that never existed; above it all names are dropped.
const MAX_STOPPED_COUNT: usize = 10_000;

/// All flows that have a record, and some that had one.
#[derive(Default)]
pub(super) struct KnownFlows {
    pub(super) records: HashMap<String, (String, FlowState)>,
    /// Records that cannot be read, so that each is reported once.
    unreadable: HashMap<String, String>,
    stopped: HashSet<String>,
}

/// The state of a flow that has a record.
#[derive(Clone)]
pub(super) enum FlowState {
    Running(Arc<Flow>),
    /// A stop that may still be refused is in progress.
    Undecided(Arc<Flow>),
    Starting,
    Stopping,
}

impl KnownFlows {
    /// Applies the current records of all flows. Only new and changed ones are parsed.
    pub(super) fn apply(&mut self, records: &Content) {
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

    /// Applies one new or changed record.
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
            (Some(FlowStatus::Starting), before) => stopped(before, FlowState::Starting),
            (Some(FlowStatus::Stopping), before) => stopped(before, FlowState::Stopping),
            (None | Some(FlowStatus::Updating), Some(FlowState::Running(flow) | FlowState::Undecided(flow))) if flow.offers(&record) => {
                flow.set_undecided(false);
                FlowState::Running(flow)
            }
            (None | Some(FlowStatus::Updating), before) => stopped(before, FlowState::Running(Arc::new(Flow::new(id, record)))),
        };
        self.stopped.remove(id);
        self.records.insert(id.to_owned(), (text.to_owned(), now));
    }

    fn forget(&mut self, id: &str) {
        let before = self.records.remove(id).map(|(_, known)| known);
        if before.is_none() {
            return;
        }
        stopped(before, FlowState::Stopping);
        if self.stopped.len() >= MAX_STOPPED_COUNT {
            self.stopped.clear();
        }
        self.stopped.insert(id.to_owned());
    }

    /// Whether such a flow existed and was stopped.
    pub(super) fn was_stopped(&self, id: &str) -> bool {
        self.stopped.contains(id)
            || matches!(self.records.get(id), Some((_, FlowState::Stopping | FlowState::Undecided(_) | FlowState::Running(_))))
    }
}

/// The new state; users of the old one end.
fn stopped(before: Option<FlowState>, after: FlowState) -> FlowState {
    if let Some(FlowState::Running(flow) | FlowState::Undecided(flow)) = before {
        flow.stop();
    }
    after
}

/// A flow whose stop may still be refused: its readers continue.
fn undecided(before: Option<FlowState>, id: &str, record: FlowRecord) -> FlowState {
    let flow = match before {
        Some(FlowState::Running(flow) | FlowState::Undecided(flow)) if flow.offers(&record) => flow,
        before => {
            stopped(before, FlowState::Stopping);
            Arc::new(Flow::new(id, record))
        }
    };
    flow.set_undecided(true);
    FlowState::Undecided(flow)
}

/// Reads the record of a flow.
pub(super) fn read(record: &str) -> Result<FlowRecord, serde_json::Error> {
    serde_json::from_str(record)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt;

    use super::super::flow::Interface;
    use super::*;

    fn content(records: &[(&str, &str)]) -> Content {
        records.iter().map(|(id, record)| ((*id).to_owned(), (*record).to_owned())).collect()
    }

    fn running(known: &KnownFlows, id: &str) -> Arc<Interface> {
        match known.records.get(id) {
            Some((_, FlowState::Running(flow))) => flow.interface("in").unwrap(),
            _ => panic!("{id} is not running"),
        }
    }

    const RUNNING: &str = r#"{"blueprint-name": "b", "interfaces": {"in": {"flow": "flow:tg:in"}}}"#;

    #[test]
    fn a_flow_continues_while_its_interfaces_are_unchanged_and_ends_when_stopped() {
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
    fn readers_of_a_flow_continue_while_its_stop_may_be_refused() {
        let refusing = RUNNING.replace("\"blueprint", "\"status\": \"stopping\", \"backlog\": \"refuse\", \"blueprint");
        let mut known = KnownFlows::default();
        known.apply(&content(&[("f", RUNNING)]));
        let first = running(&known, "f");
        known.apply(&content(&[("f", &refusing)]));
        assert!(!first.stopped.is_cancelled() && matches!(known.records["f"].1, FlowState::Undecided(_)));
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
    fn an_unreadable_record_is_not_a_running_flow() {
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
