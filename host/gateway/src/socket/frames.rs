//! The messages of a socket with many requests. `request` and `response` are passed on byte by byte.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::GatewayError;
use crate::message_json;
use crate::protocol::ErrorBody;

/// The id is repeated in every answer, so its length is limited.
const MAX_ID_BYTES: usize = 256;

/// One request.
#[derive(Debug, PartialEq)]
pub(crate) struct SocketRequest {
    /// The id of its answers, as it was written.
    pub(crate) id: String,
    /// The requested service.
    pub(crate) target: RequestedService,
    /// The request.
    pub(crate) request: Bytes,
}

/// The requested service.
#[derive(Debug, PartialEq)]
pub(crate) enum RequestedService {
    /// The config service.
    Config,
    /// The flow service.
    Flow,
    /// An interface of a flow.
    Interface {
        /// The flow.
        flow: String,
        /// Its interface.
        name: String,
    },
}

/// An invalid request.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its id, if it could be read.
    pub(crate) id: Option<String>,
    /// The problem.
    pub(crate) error: GatewayError,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    service: Option<&'a RawValue>,
    #[serde(borrow)]
    flow: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

/// Reads one message.
pub(crate) fn read(text: &[u8]) -> Result<SocketRequest, Refused> {
    let fields: Fields<'_> = serde_json::from_slice(text).map_err(|source| {
        let error = if source.is_data() {
            bad("the message", format!("must be a JSON object such as {{\"id\", \"service\", \"request\"}}: {source}"))
        } else {
            GatewayError::NotJson { what: "the message".to_owned(), source }
        };
        Refused { id: None, error }
    })?;
    let id = id_of(fields.id).map_err(|error| Refused { id: None, error })?;
    let asked = target(&fields).and_then(|target| match fields.request {
        Some(request) => Ok((target, Bytes::copy_from_slice(request.get().as_bytes()))),
        None => Err(bad("request", "is missing: it contains the request".to_owned())),
    });
    match asked {
        Ok((target, request)) => Ok(SocketRequest { id, target, request }),
        Err(error) => Err(Refused { id: Some(id), error }),
    }
}

fn id_of(id: Option<&RawValue>) -> Result<String, GatewayError> {
    let id = id.ok_or_else(|| bad("id", "is missing: every answer repeats the id of its request".to_owned()))?.get();
    let is_simple = id.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    if !is_simple || id.len() > MAX_ID_BYTES {
        return Err(bad("id", format!("must be a string or a number, of at most {MAX_ID_BYTES} bytes")));
    }
    Ok(id.to_owned())
}

fn target(fields: &Fields<'_>) -> Result<RequestedService, GatewayError> {
    let text =
        |field: &str, value: &RawValue| serde_json::from_str::<String>(value.get()).map_err(|_| bad(field, "must be a string".to_owned()));
    let missing = || bad("service", "is missing: `config`, `flow`, or with `flow` an interface of that flow".to_owned());
    let service = text("service", fields.service.ok_or_else(missing)?)?;
    match (fields.flow, service.as_str()) {
        (Some(flow), _) => Ok(RequestedService::Interface { flow: text("flow", flow)?, name: service }),
        (None, "config") => Ok(RequestedService::Config),
        (None, "flow") => Ok(RequestedService::Flow),
        (None, _) => Err(GatewayError::UnknownService { service: weir_pubsub::shown(&service) }),
    }
}

fn bad(field: &str, problem: String) -> GatewayError {
    GatewayError::BadField { field: field.to_owned(), problem }
}

/// Whether more parts of an answer follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// More parts follow.
    Before,
    /// It is the last one.
    Last,
}

/// An answer, or a part of one. If it is not JSON, an error is sent instead.
pub(crate) fn answer(id: &str, body: &[u8], place: Place) -> String {
    let body = match std::str::from_utf8(body) {
        Ok(text) if message_json::check_json(body).is_ok() => text,
        _ => {
            let message = "the answer is not JSON, so it cannot be sent here".to_owned();
            return error(Some(id), &ErrorBody { kind: "request-failed".to_owned(), message });
        }
    };
    format!("{{\"id\":{id},\"response\":{body},\"complete\":{}}}", place == Place::Last)
}

/// An error, after which nothing follows.
pub(crate) fn error(id: Option<&str>, error: &ErrorBody) -> String {
    let error = serde_json::to_string(error).expect("two texts always become JSON");
    match id {
        Some(id) => format!("{{\"id\":{id},\"error\":{error},\"complete\":true}}"),
        None => format!("{{\"error\":{error},\"complete\":true}}"),
    }
}

/// An answer of the config or flow service, whose errors are in its fields.
pub(crate) fn service_answer(id: &str, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Failed {
        error: ErrorBody,
    }
    match serde_json::from_slice::<Failed>(body) {
        Ok(failed) => error(Some(id), &failed.error),
        Err(_) => answer(id, body, Place::Last),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_content_unchanged() {
        let asked = |id: &str, target, request: &'static str| SocketRequest { id: id.to_owned(), target, request: request.into() };
        let flow = |flow: &str, name: &str| RequestedService::Interface { flow: flow.to_owned(), name: name.to_owned() };
        for (text, expected) in [
            (r#"{"id":"a","service":"config","request":{"b": 1.00}}"#, asked("\"a\"", RequestedService::Config, r#"{"b": 1.00}"#)),
            (r#"{"id":-1,"service":"flow","flow":null,"request":[],"more":1}"#, asked("-1", RequestedService::Flow, "[]")),
            (r#"{"request":1,"flow":"f","service":"config","id":7}"#, asked("7", flow("f", "config"), "1")),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_request_is_refused_by_field() {
        for (text, id, problem) in [
            ("", None, "the message is not JSON"),
            ("{\"id\":", None, "the message is not JSON"),
            ("[1]", None, "the message: must be a JSON object"),
            ("7", None, "the message: must be a JSON object"),
            (r#"{"service":"config","request":{}}"#, None, "id: is missing"),
            (r#"{"id":null,"service":"config","request":{}}"#, None, "id: is missing"),
            (r#"{"id":{},"service":"config","request":{}}"#, None, "id: must be a string or a number"),
            (r#"{"id":true,"service":"config","request":{}}"#, None, "id: must be a string or a number"),
            (r#"{"id":1,"request":{}}"#, Some("1"), "service: is missing"),
            (r#"{"id":1,"service":5,"request":{}}"#, Some("1"), "service: must be a string"),
            (r#"{"id":1,"service":"dance","request":{}}"#, Some("1"), "service `dance` does not exist"),
            (r#"{"id":1,"service":"in","flow":[],"request":{}}"#, Some("1"), "flow: must be a string"),
            (r#"{"id":1,"service":"config"}"#, Some("1"), "request: is missing"),
        ] {
            let refused = read(text.as_bytes()).unwrap_err();
            assert_eq!(refused.id.as_deref(), id, "{text}");
            assert!(refused.error.to_string().starts_with(problem), "{text}: {}", refused.error);
        }
        let long = format!(r#"{{"id":"{}","service":"config","request":1}}"#, "x".repeat(300));
        assert!(read(long.as_bytes()).unwrap_err().id.is_none());
    }

    #[test]
    fn responses_carry_the_id_and_whether_more_follow() {
        assert_eq!(answer("\"a\"", b"{\"b\": 1.00}", Place::Before), r#"{"id":"a","response":{"b": 1.00},"complete":false}"#);
        assert_eq!(answer("7", b"[]", Place::Last), r#"{"id":7,"response":[],"complete":true}"#);
        assert!(answer("7", b"nope", Place::Before).starts_with(r#"{"id":7,"error":{"type":"request-failed""#));
        assert_eq!(service_answer("7", b"{\"version\":3}"), r#"{"id":7,"response":{"version":3},"complete":true}"#);
        let failed = br#"{"error":{"type":"config-error","message":"no"},"version":0}"#;
        assert_eq!(service_answer("7", failed), r#"{"id":7,"error":{"type":"config-error","message":"no"},"complete":true}"#);
    }
}
