//! `GET /api/v1/weir/status`: hosts, flows and queues in one answer.

use axum::Json;
use axum::extract::State;

use super::queues;
use crate::error::{GatewayError, Result};
use crate::flows;
use crate::gateway::Shared;
use crate::protocol::Status;

/// How everything is: the hosts' newest reports, the flows, and the queues with what is in them.
#[utoipa::path(get, path = "/api/v1/weir/status", operation_id = "status", tag = "views", responses((status = 200, description = "How it is now", body = Status)))]
pub(crate) async fn get(State(gateway): State<Shared>) -> Result<Json<Status>> {
    let records = flows::read(&gateway.config).await?;
    let (_, config_usage) = gateway.config.types().await.map_err(GatewayError::Config)?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        topicspace: gateway.topicspace.clone(),
        config_version: records.version,
        config_usage,
        hosts: gateway.hosts.current(),
        flows: flows::summaries(&gateway.config, &records).await?,
        queues: queues::all(&gateway, &records.readable).await?,
    }))
}
