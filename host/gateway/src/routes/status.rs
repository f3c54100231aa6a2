//! `GET /api/v1/weir/status`: hosts, flows and queues in one answer.

use axum::Json;
use axum::extract::State;
use weir_config::records::{ProcessorState, ProcessorStatus};

use super::queues;
use crate::error::{GatewayError, Result};
use crate::flows;
use crate::gateway::Shared;
use crate::protocol::Status;

/// A report that is older says nothing of flows that were stopped since.
const OLD_MS: u64 = 1_000;

/// How everything is: what the hosts report when they are asked (a host that does not answer within half a second is shown as it was, with
/// the age of that), the flows, and the queues with what is in them.
#[utoipa::path(get, path = "/api/v1/weir/status", operation_id = "status", tag = "views", responses((status = 200, description = "How it is now", body = Status)))]
pub(crate) async fn get(State(gateway): State<Shared>) -> Result<Json<Status>> {
    // In this order: of a flow that stops in between, the hosts are shown as they were, and the flow is not there.
    let mut hosts = gateway.hosts.fresh(&gateway.asking).await;
    let records = flows::read(&gateway.config).await?;
    let (_, config_usage) = gateway.config.types().await.map_err(GatewayError::Config)?;
    for report in hosts.iter_mut().filter(|report| report.age_ms > OLD_MS) {
        let processors = report.status.processors.iter_mut();
        let is_gone = |status: &&mut ProcessorStatus| status.flow.as_ref().is_some_and(|flow| !records.contains(flow));
        processors.filter(is_gone).for_each(|status| status.state = ProcessorState::Stopping);
    }
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        topicspace: gateway.topicspace.clone(),
        config_version: records.version,
        config_usage,
        hosts,
        flows: flows::summaries(&gateway.config, &records).await?,
        queues: queues::all(&gateway, &records.readable).await?,
    }))
}
