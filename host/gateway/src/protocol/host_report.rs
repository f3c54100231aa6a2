//! A host in the answer to `GET status`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_config::records::{HostStatus, ProcessorStatus};

/// Whether a host is there.
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
    /// How long ago that came, in milliseconds.
    pub age_ms: u64,
    /// Whether the host is there: it also sends reports without its processors.
    #[serde(default)]
    pub presence: Presence,
    /// How long ago any of its reports came, in milliseconds.
    #[serde(default)]
    pub heard_ms: u64,
    /// How much its clock is ahead of the gateway's, in milliseconds; negative: behind. The time of its reports on the way makes it less.
    #[serde(default)]
    pub clock_ahead_ms: i64,
    /// The host itself.
    #[serde(flatten)]
    pub status: HostStatus,
    /// The processors that it is limited to; none where it serves every entry that names a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// Its processors, by name and variant.
    pub processors: Vec<ProcessorStatus>,
}
