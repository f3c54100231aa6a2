//! An error as a response: its status, headers and JSON body.

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use weir_pubsub::chain;

use crate::error::GatewayError;
use crate::protocol::ErrorAnswer;

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let status = self.kind().0;
        if status.is_server_error() && !self.is_busy() {
            tracing::warn!(error = %chain(&self), status = status.as_u16(), "request failed");
        }
        let mut response = (status, Json(ErrorAnswer { error: self.to_body() })).into_response();
        if let Some(wanted) = self.wanted() {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(wanted));
        }
        if self.is_busy() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An error on one of the paths that Weir shares with others. There, errors are answers of status 200, except overload, which is 503 on every path,
/// and a token that does not permit the request, which is 403 on every path.
pub(crate) struct SharedPathError(GatewayError);

impl<E: Into<GatewayError>> From<E> for SharedPathError {
    fn from(error: E) -> Self {
        SharedPathError(error.into())
    }
}

impl IntoResponse for SharedPathError {
    fn into_response(self) -> Response {
        if self.0.is_busy() || matches!(self.0, GatewayError::SmallScope { .. }) {
            return self.0.into_response();
        }
        if self.0.kind().0.is_server_error() {
            tracing::warn!(error = %chain(&self.0), "request failed");
        }
        Json(ErrorAnswer { error: self.0.to_body() }).into_response()
    }
}
