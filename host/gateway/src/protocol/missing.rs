//! Services that do not answer, in the answer to `GET status`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A service that does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MissingService {
    /// The service's name.
    pub service: ServiceName,
    /// A human-readable description of the problem.
    pub problem: String,
}

/// A service behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceName {
    /// The config service.
    Config,
    /// The flow service.
    Flow,
}

impl ServiceName {
    /// For people, with an article.
    pub fn title(self) -> &'static str {
        match self {
            ServiceName::Config => "the config service",
            ServiceName::Flow => "the flow service",
        }
    }
}
