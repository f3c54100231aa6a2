//! Answers of the admin API.

use reqwest::StatusCode;
use serde_json::Value;

use super::refusal::shown_long;

/// What a request came to, other than a failure of the way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is(&self, status: StatusCode) -> bool {
        self.status == status
    }

    /// What the broker said, cut.
    pub(super) fn text(&self) -> String {
        let reason = serde_json::from_slice::<Value>(&self.body).ok();
        let reason = reason.and_then(|value| Some(value.get("reason")?.as_str()?.to_owned()));
        // A page of the web server, where the request did not get to the broker.
        let page = String::from_utf8_lossy(&self.body);
        let message =
            page.split_once("MESSAGE:</th><td>").and_then(|(_, rest)| rest.split_once('<')).map(|(message, _)| message.to_owned());
        let reason = reason.or(message);
        shown_long(&reason.unwrap_or_else(|| String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]).into_owned()))
    }

    /// Whether the token is not accepted. Brokers answer a missing right so, too.
    pub(super) fn is_about_token(&self) -> bool {
        self.is(StatusCode::UNAUTHORIZED) && !self.text().contains("nauthorized to")
    }

    /// Whether the role of the token may not do that.
    pub(super) fn is_about_rights(&self) -> bool {
        self.is(StatusCode::FORBIDDEN) || (self.is(StatusCode::UNAUTHORIZED) && !self.is_about_token())
    }

    /// What was answered; nothing where that is no JSON.
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether what was to be made is there: the same status is that of a limit.
    pub(super) fn is_there_already(&self) -> bool {
        self.is(StatusCode::CONFLICT) && self.text().contains("already exist")
    }

    /// Whether what is missing is the tenant or the namespace.
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
        let answer = |body: &str| Answer { status: StatusCode::NOT_FOUND, body: body.as_bytes().to_vec() };
        assert_eq!(answer(r#"{"reason":"Namespace not found"}"#).text(), "Namespace not found");
        assert!(answer(r#"{"reason":"Namespace not found"}"#).lacks_namespace());
        assert_eq!(answer("\n --- An unexpected error\n\tat java").text(), "--- An unexpected error");
        assert!(!answer(r#"{"reason":"Topic persistent://a/flow/b not found"}"#).lacks_namespace());
    }
}
