//! Requests to the config service, and what the commands use of its responses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::commands::Session;
use crate::problem::Problem;

/// Values by type and key.
pub(crate) type Values = BTreeMap<String, BTreeMap<String, String>>;

/// The used fields of the config service's answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigResponse {
    pub(super) version: u64,
    pub(super) values: Vec<Stored>,
    pub(super) directory: Vec<String>,
    pub(super) config: Values,
}

/// A stored value.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) value: Option<String>,
}

/// Sends a request to the config service.
pub(super) async fn ask(session: &Session, request: &Value) -> Result<ConfigResponse, Problem> {
    session.client.post("/api/v1/config", request.to_string()).await
}
