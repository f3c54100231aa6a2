//! `GET /api/v1/weir/status`: hosts, flows and queues in one answer.

use axum::Json;
use axum::extract::State;

use super::queues;
use crate::error::Result;
use crate::flows;
use crate::gateway::Shared;
use crate::protocol::Status;

/// How everything is: the hosts' newest reports, the flows, and the queues with what is in them.
#[utoipa::path(get, path = "/api/v1/weir/status", operation_id = "status", tag = "views", responses((status = 200, description = "How it is now", body = Status)))]
pub(crate) async fn get(State(gateway): State<Shared>) -> Result<Json<Status>> {
    let (config_version, records) = flows::records(&gateway.config).await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        topicspace: gateway.topicspace.clone(),
        config_version,
        hosts: gateway.hosts.current(),
        flows: flows::summaries(&gateway.config, &records).await?,
        queues: queues::all(&gateway, &records).await?,
    }))
}
