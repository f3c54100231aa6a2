//! The gateway's view of a host.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use weir_config::records::{HostStatus, ProcessorState, ProcessorStatus};

use crate::protocol::{HostReport, Presence};

/// Details of a host. Its processors stay raw JSON as received, since most code only passes them on.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) status: HostStatus,
    pub(super) serves: Option<Vec<String>>,
    /// An array of [`ProcessorStatus`].
    pub(super) processors: Box<RawValue>,
}

impl Details {
    /// For a host that has never answered.
    pub(super) fn without_processors(status: HostStatus) -> Self {
        let processors = RawValue::from_string("[]".to_owned()).expect("an empty array is JSON");
        Details { status, serves: None, processors }
    }
}

/// A host with its newest details and their age. Serializes as a [`HostReport`].
#[derive(Clone, Debug)]
pub(crate) struct ShownHost {
    pub(crate) age_ms: u64,
    pub(super) presence: Presence,
    pub(super) heard_ms: u64,
    pub(super) clock_ahead_ms: i64,
    /// As in the details, with the problem of the newest summary.
    pub(super) status: HostStatus,
    pub(super) details: Arc<Details>,
}

impl ShownHost {
    /// Shows the processors of removed flows as stopping.
    pub(crate) fn stop_processors(&mut self, is_gone: impl Fn(&str) -> bool) {
        let mut processors = self.processors();
        let of_gone = |status: &&mut ProcessorStatus| status.flow.as_deref().is_some_and(&is_gone);
        processors.iter_mut().filter(of_gone).for_each(|status| status.state = ProcessorState::Stopping);
        let Details { status, serves, .. } = &*self.details;
        let processors = serde_json::value::to_raw_value(&processors).expect("plain fields always become JSON");
        self.details = Arc::new(Details { status: status.clone(), serves: serves.clone(), processors });
    }

    /// Whether it reports.
    pub(crate) fn is_reporting(&self) -> bool {
        self.presence == Presence::Reporting
    }

    /// With all fields parsed.
    pub(crate) fn report(&self) -> HostReport {
        let (status, serves) = (self.status.clone(), self.details.serves.clone());
        let ShownHost { age_ms, presence, heard_ms, clock_ahead_ms, .. } = *self;
        HostReport { age_ms, presence, heard_ms, clock_ahead_ms, status, serves, processors: self.processors() }
    }

    fn processors(&self) -> Vec<ProcessorStatus> {
        serde_json::from_str(self.details.processors.get()).unwrap_or_else(|error| {
            tracing::warn!(host = self.status.host, error = %weir_pubsub::chain(&error), "processors of a host unreadable");
            Vec::new()
        })
    }
}

impl Serialize for ShownHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Report<'a> {
            age_ms: u64,
            presence: Presence,
            heard_ms: u64,
            clock_ahead_ms: i64,
            #[serde(flatten)]
            status: &'a HostStatus,
            #[serde(skip_serializing_if = "Option::is_none")]
            serves: &'a Option<Vec<String>>,
            processors: &'a RawValue,
        }
        let Details { serves, processors, .. } = &*self.details;
        let ShownHost { age_ms, presence, heard_ms, clock_ahead_ms, ref status, .. } = *self;
        Report { age_ms, presence, heard_ms, clock_ahead_ms, status, serves, processors }.serialize(serializer)
    }
}
