//! CORS: the headers that allow web pages to use the gateway, only if there is a token. Any page may try, since only one with the token succeeds;
//! nothing that a browser adds automatically, such as a cookie, grants access.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::gateway::Gateway;

/// What a page may send; browsers may cache this for ten minutes.
const ANSWERED: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// The response to a CORS preflight, if the request is one.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    let asks_first = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    asks_first.then(|| (StatusCode::NO_CONTENT, ANSWERED).into_response())
}

/// Whether a request is from a page that may read the response, including errors.
pub(crate) fn is_readable(gateway: &Gateway, request: &Request) -> bool {
    gateway.settings.tokens.is_some() && request.headers().contains_key(ORIGIN)
}

/// Allows the page to read a response.
pub(crate) fn make_readable(response: &mut Response) {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}
