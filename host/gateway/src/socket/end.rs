//! The close codes and reasons of WebSockets.

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use weir_pubsub::PubsubError;

use crate::error::GatewayError;

/// The protocol's limit for a reason.
const MAX_REASON_BYTES: usize = 123;

/// The code and the reason of an end.
#[derive(Debug)]
pub(crate) struct End {
    code: CloseCode,
    reason: String,
}

impl End {
    /// The close for this error.
    pub(crate) fn of(error: &GatewayError) -> Self {
        End { code: code_of(error), reason: shortened(&weir_pubsub::chain(error)) }
    }

    pub(crate) fn code(&self) -> CloseCode {
        self.code
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

fn code_of(error: &GatewayError) -> CloseCode {
    match error {
        GatewayError::ShuttingDown | GatewayError::FlowStopped { .. } => CloseCode::Away,
        GatewayError::NotJson { .. } | GatewayError::BodyBroken { .. } => CloseCode::Invalid,
        GatewayError::BinaryMessage { .. } => CloseCode::Unsupported,
        GatewayError::MessageTooLarge { .. } | GatewayError::Broker { source: PubsubError::TooLarge { .. }, .. } => CloseCode::Size,
        error if error.kind().0 == axum::http::StatusCode::SERVICE_UNAVAILABLE => CloseCode::Again,
        error if error.kind().0.is_server_error() => CloseCode::Error,
        _ => CloseCode::Policy,
    }
}

fn shortened(reason: &str) -> String {
    const MORE: &str = "...";
    if reason.len() <= MAX_REASON_BYTES {
        return reason.to_owned();
    }
    let end = reason.floor_char_boundary(MAX_REASON_BYTES - MORE.len());
    format!("{}{MORE}", &reason[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_truncated_between_characters() {
        let end = End::of(&GatewayError::FlowStopped { flow: "\u{20ac}".repeat(100) });
        assert_eq!(end.code(), CloseCode::Away);
        assert!(
            end.reason().len() <= MAX_REASON_BYTES && end.reason().starts_with("flow `\u{20ac}") && end.reason().ends_with("\u{20ac}...")
        );
        assert_eq!(End::of(&GatewayError::ShuttingDown).reason(), "Weir is shutting down");
    }
}
