//! Responses of the admin API.

use reqwest::StatusCode;
use serde_json::Value;

use super::broker_error::shown_long;

/// The response to a request that reached the server.
#[derive(Debug)]
pub(super) struct AdminResponse {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl AdminResponse {
    pub(super) fn is(&self, status: StatusCode) -> bool {
        self.status == status
    }

    /// The broker's message, truncated.
    pub(super) fn text(&self) -> String {
        let reason = serde_json::from_slice::<Value>(&self.body).ok();
        let reason = reason.and_then(|value| Some(value.get("reason")?.as_str()?.to_owned()));
        // An HTML page of the web server: the request did not reach the broker.
        let page = String::from_utf8_lossy(&self.body);
        let message =
            page.split_once("MESSAGE:</th><td>").and_then(|(_, rest)| rest.split_once('<')).map(|(message, _)| message.to_owned());
        let reason = reason.or(message);
        shown_long(&reason.unwrap_or_else(|| String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]).into_owned()))
    }

    /// Whether the token is not accepted. Brokers use the same status for a missing permission.
    pub(super) fn is_about_token(&self) -> bool {
        self.is(StatusCode::UNAUTHORIZED) && !self.text().contains("nauthorized to")
    }

    /// Whether the role of the token lacks the permission.
    pub(super) fn is_about_rights(&self) -> bool {
        self.is(StatusCode::FORBIDDEN) || (self.is(StatusCode::UNAUTHORIZED) && !self.is_about_token())
    }

    /// The body as JSON; null if it is not JSON.
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether the resource to create exists: a limit has the same status.
    pub(super) fn is_there_already(&self) -> bool {
        self.is(StatusCode::CONFLICT) && self.text().contains("already exist")
    }

    /// Whether the tenant or the namespace is missing.
    pub(super) fn lacks_namespace(&self) -> bool {
        let text = self.text();
        self.is(StatusCode::NOT_FOUND) && (text.contains("amespace") || text.contains("enant"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_response_is_shown_on_one_line() {
        let answer = |body: &str| AdminResponse { status: StatusCode::NOT_FOUND, body: body.as_bytes().to_vec() };
        assert_eq!(answer(r#"{"reason":"Namespace not found"}"#).text(), "Namespace not found");
        assert!(answer(r#"{"reason":"Namespace not found"}"#).lacks_namespace());
        assert_eq!(answer("\n --- An unexpected error\n\tat java").text(), "--- An unexpected error");
        assert!(!answer(r#"{"reason":"Topic persistent://a/flow/b not found"}"#).lacks_namespace());
    }
}
