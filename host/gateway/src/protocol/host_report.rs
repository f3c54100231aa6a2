//! A host in the answer to `GET status`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_config::records::{HostStatus, ProcessorStatus};

/// What one host reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostReport {
    /// How long ago that came, in milliseconds.
    pub age_ms: u64,
    /// The host itself.
    #[serde(flatten)]
    pub status: HostStatus,
    /// The processors that it is limited to; none where it serves every entry that names a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// Its processors, by name and variant.
    pub processors: Vec<ProcessorStatus>,
}
