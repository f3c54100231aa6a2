//! All variants of a host, and its reports: the current summary and details.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_config::FollowerStatus;
use weir_config::records::{
    HostDetails, HostStatus, HostSummary, MAX_ERRORS_COUNT, MAX_NAMED_COUNT, ProcessorStatus, VariantError, VariantRefusal,
};

use crate::desired::Served;
use crate::error::WORLD_VERSION;
use crate::status::{VariantKey, VariantStatus, busy_text, cut, now_ms};

/// The identity of a host.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// Different for each process.
    pub(crate) id: String,
    /// For display.
    pub(crate) name: String,
    /// For display.
    pub(crate) machine: String,
}

/// All variants of a host, and the host's own identity.
pub(crate) struct StatusBoard {
    pub(crate) host: String,
    name: String,
    machine: String,
    serves: Option<Vec<String>>,
    started_ms: u64,
    changed: Arc<Notify>,
    variants: Mutex<BTreeMap<VariantKey, Arc<VariantStatus>>>,
}

impl StatusBoard {
    pub(crate) fn new(identity: Identity, served: &Served) -> Self {
        let serves = match served {
            Served::All => None,
            Served::Names(names) => Some(names.iter().cloned().collect()),
        };
        let Identity { id: host, name, machine } = identity;
        StatusBoard { host, name, machine, serves, started_ms: now_ms(), changed: Arc::default(), variants: Mutex::default() }
    }

    /// The status of a variant; a new one if it has none.
    pub(crate) fn variant(&self, key: &VariantKey) -> Arc<VariantStatus> {
        let mut variants = self.lock();
        variants.entry(key.clone()).or_insert_with(|| Arc::new(VariantStatus::new(key.clone(), self.changed.clone()))).clone()
    }

    /// Forgets a variant.
    pub(crate) fn remove(&self, key: &VariantKey) {
        self.lock().remove(key);
        self.changed.notify_one();
    }

    /// Variants with messages in flight, for display.
    pub(crate) fn busy(&self) -> Vec<String> {
        let busy = |status: &Arc<VariantStatus>| (status.counters.in_flight() > 0).then(|| busy_text(status));
        self.lock().values().filter_map(busy).collect()
    }

    /// Waits until something about a variant changes.
    ///
    /// # Cancel safety
    /// Yes, for one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Restarts the measurement of all rates.
    pub(crate) fn take_rates(&self) {
        self.lock().values().for_each(|status| status.take_rate());
    }

    /// All variants, currently.
    pub(crate) fn details(&self, config: &FollowerStatus) -> HostDetails {
        let processors = self.lock().values().map(|status| status.report()).collect();
        HostDetails { status: self.status(config), serves: self.serves.clone(), processors }
    }

    /// A summary, currently.
    pub(crate) fn summary(&self, config: &FollowerStatus) -> HostSummary {
        let mut summing = SummaryBuilder::default();
        self.lock().values().for_each(|status| summing.add(status.report()));
        summing.summary(self.status(config), self.serves.clone())
    }

    fn status(&self, config: &FollowerStatus) -> HostStatus {
        HostStatus {
            host: self.host.clone(),
            name: self.name.clone(),
            machine: self.machine.clone(),
            pid: Some(std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contract: WORLD_VERSION.to_owned(),
            started_ms: self.started_ms,
            time_ms: now_ms(),
            config_version: config.version,
            config_problem: config.fetch_error.as_deref().map(cut),
            report_problem: None,
            has_stopped: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VariantKey, Arc<VariantStatus>>> {
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A summary under construction.
#[derive(Default)]
struct SummaryBuilder {
    summary: HostSummary,
    names: BTreeSet<String>,
    flows: BTreeSet<String>,
    digests: BTreeSet<weir_config::records::Digest>,
}

impl SummaryBuilder {
    fn add(&mut self, of: ProcessorStatus) {
        *self.summary.states.entry(of.state).or_default() += 1;
        self.summary.totals.add(&of);
        if !self.names.contains(&of.processor) {
            self.names.insert(of.processor.clone());
        }
        self.flows.extend(of.flow);
        self.digests.extend(of.component.map(|component| component.digest));
        if let (Some(error), Some(time_ms)) = (of.last_error, of.last_error_ms) {
            let (processor, variant) = (of.processor.clone(), of.variant.clone());
            self.note(VariantError { processor, variant, error, time_ms, over_ms: of.last_error_over_ms });
        }
        if let Some(refused) = of.refused {
            self.summary.refusals.push(VariantRefusal { processor: of.processor, variant: of.variant, refused });
        }
    }

    /// Keeps an error if it is one of the newest.
    fn note(&mut self, error: VariantError) {
        let errors = &mut self.summary.errors;
        errors.push(error);
        errors.sort_by_key(|error| (error.over_ms.is_some(), std::cmp::Reverse(error.time_ms)));
        errors.truncate(MAX_ERRORS_COUNT);
    }

    fn summary(self, status: HostStatus, serves: Option<Vec<String>>) -> HostSummary {
        let SummaryBuilder { summary, names, flows, digests } = self;
        HostSummary {
            status,
            serves,
            processors: names.into_iter().collect(),
            flows_count: flows.len() as u64,
            digests_count: digests.len() as u64,
            flows: flows.into_iter().take(MAX_NAMED_COUNT).collect(),
            digests: digests.into_iter().take(MAX_NAMED_COUNT).collect(),
            ..summary
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::status::ErrorSource;
    use weir_config::records::ProcessorState;

    #[test]
    fn a_summary_has_totals_a_few_errors_and_every_name() {
        let board = StatusBoard::new(Identity::default(), &Served::All);
        for at in 0..3_000_u64 {
            let key = VariantKey { processor: format!("p{}", at % 1_500), variant: at.to_string() };
            let status = board.variant(&key);
            status.set_work(Some(&format!("flow-{at}")), None);
            status.counters.handled.fetch_add(2, std::sync::atomic::Ordering::Relaxed);
            if at % 100 == 0 {
                status.note_error(ErrorSource::Message, &format!("error {at}"));
            }
        }
        board.lock().values().filter(|status| status.key.variant != "700").for_each(|status| status.end_errors(|_| true));
        let summary = board.summary(&FollowerStatus::default());
        assert_eq!((summary.totals.variants_count, summary.totals.handled_count), (3_000, 6_000));
        assert_eq!(summary.states, BTreeMap::from([(ProcessorState::Starting, 3_000)]));
        assert_eq!((summary.processors.len(), summary.flows.len(), summary.flows_count), (1_500, MAX_NAMED_COUNT, 3_000));
        assert_eq!((summary.errors.len(), &*summary.errors[0].error), (MAX_ERRORS_COUNT, "error 700"));
        assert_eq!(board.details(&FollowerStatus::default()).processors.len(), 3_000);
    }
}
