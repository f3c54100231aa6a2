//! The answer to an import.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ErrorBody;

/// The answer to an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Messages that are stored durably: the first ones of the import, without gaps.
    pub count: u64,
    /// Messages after these that may be stored too, because the broker did not confirm one before them; absent if none.
    #[serde(default, rename = "unconfirmed", skip_serializing_if = "is_zero")]
    pub unconfirmed_count: u64,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
