//! The HTTP status of errors of the services behind the gateway, and their type for programs.

use axum::http::StatusCode;
use weir_config::ConfigError;
use weir_config::protocol::ConfigLimit;
use weir_pubsub::PubsubError;

/// Of the config service. Permanent and temporary failures have different statuses.
pub(crate) fn kind_of_config(error: &ConfigError) -> (StatusCode, &'static str) {
    match error {
        _ if error.exceeded() == Some(ConfigLimit::Configuration) => (StatusCode::INSUFFICIENT_STORAGE, "configuration-full"),
        ConfigError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "config-error"),
    }
}

/// Of the broker.
pub(crate) fn kind_of_broker(error: &PubsubError) -> (StatusCode, &'static str) {
    match error {
        PubsubError::QueueNotFound { .. } => (StatusCode::NOT_FOUND, "queue-not-found"),
        PubsubError::QueueHeld { .. } => (StatusCode::CONFLICT, "queue-held"),
        PubsubError::QueueFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "queue-full"),
        PubsubError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        PubsubError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "timed-out"),
        PubsubError::OutcomeUnknown { .. } => (StatusCode::BAD_GATEWAY, "outcome-unknown"),
        PubsubError::Unavailable { .. } | PubsubError::Stalled { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        PubsubError::Refused { .. } => (StatusCode::BAD_GATEWAY, "broker-refused"),
        PubsubError::Unsupported { .. } => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}
