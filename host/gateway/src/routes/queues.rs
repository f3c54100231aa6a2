//! `GET /api/v1/weir/queues`: the queues of flows, the dead-letter queue and queues without a flow, with their contents.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;
use weir_flow::protocol::FlowRecord;

use crate::dead_letters;
use crate::error::Result;
use crate::flows;
use crate::gateway::{Gateway, Shared};
use crate::protocol::{QueueSummary, Queues};
use crate::unowned;

/// Lists the queues of all flows, the dead-letter queue and queues without a flow, with their contents.
#[utoipa::path(get, path = "/api/v1/weir/queues", operation_id = "queues", tag = "views", responses((status = 200, description = "All queues", body = Queues)))]
pub(crate) async fn get(State(gateway): State<Shared>) -> Result<Json<Queues>> {
    let (_, records) = flows::records(&gateway.config).await?;
    Ok(Json(Queues { queues: all(&gateway, &records).await? }))
}

/// The queues of these flows, the dead-letter queue, and queues without a flow.
pub(crate) async fn all(gateway: &Gateway, records: &BTreeMap<String, FlowRecord>) -> Result<Vec<QueueSummary>> {
    let mut queues = with_depths(gateway, records).await?;
    queues.extend(unowned::queues(&*gateway.backend, &gateway.config, &gateway.topicspace, &queues).await?);
    Ok(queues)
}

/// The queues of these flows and the dead-letter queue.
pub(crate) async fn with_depths(gateway: &Gateway, records: &BTreeMap<String, FlowRecord>) -> Result<Vec<QueueSummary>> {
    let mut queues = flows::queues(records);
    queues.push(QueueSummary::of(&dead_letters::queue(gateway)?));
    // Concurrently: the broker answers all waiting requests together.
    try_join_all(queues.iter_mut().map(|queue| queue.look(&*gateway.backend))).await?;
    Ok(queues)
}
