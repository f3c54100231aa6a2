//! What a browser wants to hear before it lets a web page use the gateway (CORS): only where there is a token. Any page may try, since
//! only one that was given the token gets through; nothing that a browser adds by itself, such as a cookie, opens anything here.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::gateway::Shared;

/// What a page may ask for, for ten minutes until its browser asks again.
const ANSWERED: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Answers a browser's question whether a page may ask, and lets pages read the answers, errors too.
pub(crate) async fn readable(State(gateway): State<Shared>, request: Request, next: Next) -> Response {
    if gateway.settings.token.is_none() || !request.headers().contains_key(ORIGIN) {
        return next.run(request).await;
    }
    let asks_first = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_first { (StatusCode::NO_CONTENT, ANSWERED).into_response() } else { next.run(request).await };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
