//! A host in the answer to `GET status`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_config::records::{HostStatus, ProcessorStatus};

/// Whether a host is present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It reports.
    #[default]
    Reporting,
    /// It has missed three reports in a row: its process was killed or stands still, or cannot reach the broker.
    Silent,
}

/// What one host reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostReport {
    /// The age of this report, in milliseconds.
    pub age_ms: u64,
    /// Whether the host is present: it also sends reports without its processors.
    #[serde(default)]
    pub presence: Presence,
    /// The age of its newest report of any kind, in milliseconds.
    #[serde(default)]
    pub heard_ms: u64,
    /// How far its clock is ahead of the gateway's, in milliseconds; negative: behind. The transit time of its reports reduces it.
    #[serde(default)]
    pub clock_ahead_ms: i64,
    /// The host itself.
    #[serde(flatten)]
    pub status: HostStatus,
    /// The processors that it is limited to; empty if it serves every entry with a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// Its processors, by name and variant.
    pub processors: Vec<ProcessorStatus>,
}
