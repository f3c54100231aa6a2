//! `GET /api/v1/weir/openapi.json`: the OpenAPI document. `GET /api/v1/weir/docs`: the same as a page for people; `GET /` redirects there.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};

use super::services::json;
use crate::api_page;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;

/// The page is self-contained: it may not load or run anything.
const NOTHING_ELSE: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/weir/openapi.json",
    operation_id = "openapi",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(crate) async fn openapi(State(gateway): State<Shared>) -> Result<Response> {
    static TEXT: OnceLock<Option<Bytes>> = OnceLock::new();
    let text = TEXT.get_or_init(|| (gateway.document)().to_pretty_json().ok().map(|text| Bytes::from(text + "\n")));
    text.clone().map(json).ok_or(GatewayError::Broken { what: "writing the OpenAPI document" })
}

/// Redirects a browser to the page that describes the gateway.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "front",
    tag = "health",
    responses((status = 303, description = "To the page that describes this gateway"))
)]
pub(crate) async fn front() -> Redirect {
    Redirect::to("/api/v1/weir/docs")
}

/// This document as a self-contained HTML page.
#[utoipa::path(
    get,
    path = "/api/v1/weir/docs",
    operation_id = "docs",
    tag = "health",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(crate) async fn docs(State(gateway): State<Shared>) -> Result<Response> {
    static PAGE: OnceLock<Option<Bytes>> = OnceLock::new();
    let page = PAGE.get_or_init(|| serde_json::to_value((gateway.document)()).ok().map(|document| Bytes::from(api_page::of(&document))));
    let page = page.clone().ok_or(GatewayError::Broken { what: "writing the page" })?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, NOTHING_ELSE)], page).into_response())
}
