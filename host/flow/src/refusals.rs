//! What hosts say that they cannot run: the newest word of each, and which of it is news.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_config::records::{ComponentRef, HostStatus, Refusal, ReportParts};

use crate::plan::EntryKey;

/// A host that said nothing for so long is gone: it speaks every 5 s.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// The refusals that hosts report.
#[derive(Default)]
pub(crate) struct Refusals {
    hosts: Mutex<BTreeMap<String, Reported>>,
    parts: Mutex<ReportParts>,
}

struct Reported {
    at: Instant,
    refusals: BTreeMap<EntryKey, Refusal>,
}

impl Refusals {
    /// Takes a host's report over and returns what can never work in it and was not heard of before. What was heard of before must not
    /// be acted on again: since then, the same component may have been named anew.
    pub(crate) fn take(&self, status: HostStatus) -> Vec<(EntryKey, Refusal)> {
        // A part alone looks as if all others were gone.
        let whole = self.parts.lock().unwrap_or_else(PoisonError::into_inner).add(status);
        let Some(status) = whole else { return Vec::new() };
        let refusals: BTreeMap<EntryKey, Refusal> = status
            .processors
            .into_iter()
            .filter_map(|processor| Some((EntryKey { processor: processor.processor, variant: processor.variant }, processor.refused?)))
            .collect();
        let now = Instant::now();
        let mut hosts = self.lock();
        hosts.retain(|_, reported| now.duration_since(reported.at) < GONE_AFTER);
        let known = hosts.remove(&status.host).map(|reported| reported.refusals).unwrap_or_default();
        let is_news = |(key, refusal): &(&EntryKey, &Refusal)| refusal.permanent && known.get(key) != Some(refusal);
        let news = refusals.iter().filter(is_news).map(|(key, refusal)| (key.clone(), refusal.clone())).collect();
        hosts.insert(status.host, Reported { at: now, refusals });
        news
    }

    /// The components that some host refuses to run for an entry.
    pub(crate) fn of(&self, key: &EntryKey) -> Vec<ComponentRef> {
        self.lock().values().filter_map(|reported| reported.refusals.get(key)).map(|refusal| refusal.component.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Reported>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(host: &str, refused: Option<(&str, bool, u64)>) -> HostStatus {
        let component = |version: &str| json!({"name": "p", "version": version, "digest": format!("sha256:{}", "ab".repeat(32))});
        let mut processor = json!({"processor": "p", "variant": "v", "state": "running"});
        for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
            processor[format!("{counter}-count")] = json!(0);
        }
        processor["rate-per-1000-s"] = json!(0);
        if let Some((version, permanent, time_ms)) = refused {
            let component = component(version);
            processor["refused"] = json!({"component": component, "problem": "x", "permanent": permanent, "time-ms": time_ms});
        }
        let status = json!({"host": host, "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "processors": [processor]});
        serde_json::from_value(status).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_news_once() {
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
        tokio::time::advance(GONE_AFTER).await;
        versions(report("c", None));
        assert!(refusals.of(&key).is_empty());
    }
}
