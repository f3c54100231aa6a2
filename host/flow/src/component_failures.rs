//! Reports of hosts about components that they cannot run: the newest summary of each, and its new refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_config::records::{ComponentRef, HostSummary, Refusal, ReportParts, VariantRefusal};

use crate::plan::EntryKey;

/// A host without a report for this long counts as gone; hosts report every 5 s.
const HOST_EXPIRY: Duration = Duration::from_secs(60);

/// How long after its last report a host counts as serving what it reported.
const SERVES_FOR: Duration = Duration::from_secs(20);

/// The refusals that hosts report.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<ReportState>);

#[derive(Default)]
struct ReportState {
    hosts: BTreeMap<String, Reported>,
    /// Parts of summaries that arrive in several messages.
    parts: ReportParts<HostSummary>,
}

struct Reported {
    at: Instant,
    /// The processors that it has or should serve.
    names: BTreeSet<String>,
    refusals: BTreeMap<EntryKey, Refusal>,
}

impl Refusals {
    /// Processes a host's summary, or a part of one, and returns the new permanent refusals. Earlier ones are not returned again, since the same
    /// component may have been swapped in again.
    pub(crate) fn take(&self, part: HostSummary) -> Vec<(EntryKey, Refusal)> {
        let ReportState { hosts, parts } = &mut *self.lock();
        let Some(HostSummary { status, serves, processors, refusals, .. }) = parts.take(part) else { return Vec::new() };
        let names = processors.into_iter().chain(serves.into_iter().flatten()).collect();
        let by_entry = |VariantRefusal { processor, variant, refused }| (EntryKey { processor, variant }, refused);
        let refusals: BTreeMap<EntryKey, Refusal> = refusals.into_iter().map(by_entry).collect();
        if status.has_stopped {
            hosts.remove(&status.host);
            return Vec::new();
        }
        let now = Instant::now();
        hosts.retain(|_, reported| now.duration_since(reported.at) < HOST_EXPIRY);
        let known = hosts.remove(&status.host).map(|reported| reported.refusals).unwrap_or_default();
        let is_news = |(key, refusal): &(&EntryKey, &Refusal)| refusal.permanent && known.get(key) != Some(refusal);
        let news = refusals.iter().filter(is_news).map(|(key, refusal)| (key.clone(), refusal.clone())).collect();
        hosts.insert(status.host, Reported { at: now, names, refusals });
        news
    }

    /// The components that any host refuses to run for an entry.
    pub(crate) fn of(&self, key: &EntryKey) -> Vec<ComponentRef> {
        self.lock().hosts.values().filter_map(|reported| reported.refusals.get(key)).map(|refusal| refusal.component.clone()).collect()
    }

    /// The processors that hosts have reported recently.
    pub(crate) fn served_names(&self) -> BTreeSet<String> {
        let now = Instant::now();
        let state = self.lock();
        let current = state.hosts.values().filter(|reported| now.duration_since(reported.at) < SERVES_FOR);
        current.flat_map(|reported| reported.names.iter().cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, ReportState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(host: &str, refused: Option<(&str, bool, u64)>) -> HostSummary {
        let component = |version: &str| json!({"name": "p", "version": version, "digest": format!("sha256:{}", "ab".repeat(32))});
        let refusal = |(version, permanent, time_ms)| {
            let refused = json!({"component": component(version), "problem": "x", "permanent": permanent, "time-ms": time_ms});
            json!({"processor": "p", "variant": "v", "refused": refused})
        };
        let refusals: Vec<_> = refused.into_iter().map(refusal).collect();
        serde_json::from_value(json!({
            "host": host, "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "states": {"running": 1}, "totals": {},
            "flows-count": 0, "digests-count": 0, "processors": ["p"], "refusals": refusals,
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_reported_once() {
        let refusals = Refusals::default();
        let versions = |status| refusals.take(status).into_iter().map(|(_, refusal)| refusal.component.version).collect::<Vec<_>>();
        assert_eq!(versions(report("a", None)), Vec::<String>::new());
        assert_eq!(versions(report("a", Some(("2.0.0", true, 1)))), ["2.0.0"]);
        assert!(versions(report("a", Some(("2.0.0", true, 1)))).is_empty());
        assert_eq!(versions(report("b", Some(("2.0.0", true, 1)))), ["2.0.0"]);
        assert_eq!(versions(report("a", Some(("2.0.0", true, 2)))), ["2.0.0"], "it was named again, and refused again");
        assert!(versions(report("a", Some(("3.0.0", false, 3)))).is_empty(), "what may pass is left to the host");
        let key = EntryKey { processor: "p".into(), variant: "v".into() };
        assert_eq!(refusals.of(&key).len(), 2);
        assert_eq!(refusals.served_names(), BTreeSet::from(["p".to_owned()]));
        tokio::time::advance(SERVES_FOR).await;
        assert!(refusals.served_names().is_empty());
        tokio::time::advance(HOST_EXPIRY).await;
        versions(report("c", None));
        assert!(refusals.of(&key).is_empty());
    }
}
