//! Responses in JSON Lines.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;

use crate::body::NDJSON;
use crate::error::GatewayError;
use crate::protocol::ErrorAnswer;

/// A response in JSON Lines.
pub(crate) fn ndjson(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    response
}

/// An error in the middle of a stream, as its last line.
pub(crate) fn error_line(error: &GatewayError) -> Bytes {
    let mut line = serde_json::to_vec(&ErrorAnswer { error: error.to_body() }).unwrap_or_default();
    line.push(b'\n');
    Bytes::from(line)
}
