//! `/healthz`: the process answers. `/readyz`: the services behind it answer too.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::GatewayError;
use crate::gateway::Shared;
use weir_pubsub::chain;

const READY_TIME: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// The config and flow services answer.
pub(crate) async fn readyz(State(gateway): State<Shared>) -> Response {
    let config = gateway.services.ask_config(br#"{"operation": "list", "type": "flow"}"#);
    let flow = gateway.services.ask_flow(br#"{"operation": "list-blueprints"}"#);
    let both = async { tokio::try_join!(config, flow) };
    let outcome = tokio::time::timeout(READY_TIME, both).await;
    let problem = match outcome {
        Ok(Ok(_)) => return Json(json!({"status": "ready"})).into_response(),
        Ok(Err(error)) => chain(&error),
        Err(_) => chain(&GatewayError::TimedOut { limit_s: READY_TIME.as_secs() }),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "reason": problem}))).into_response()
}
