//! `GET /metrics`: all figures in the text format of Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use weir_config::names::{CONFIG_SERVICE, FLOW_SERVICE};
use weir_flow::protocol::FlowRecord;

use super::queues;
use crate::error::{GatewayError, Result};
use crate::flows;
use crate::gateway::{Gateway, Shared};
use crate::hosts::ShownHost;
use crate::metrics::figures;
use crate::metrics::text::{MEDIA_TYPE, Text};
use crate::protocol::QueueSummary;

/// Time limit for the config service and for the broker: together less than the usual scrape time-out of 10 s.
const QUERY_TIMEOUT: Duration = Duration::from_secs(4);

/// All metrics in the text format of Prometheus.
///
/// Metrics of services that do not answer are omitted, and the service is marked as down.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "health",
    responses((status = 200, description = "The metrics listed in docs/operating.md", body = String, content_type = "text/plain"))
)]
pub(crate) async fn get(State(gateway): State<Shared>) -> Response {
    let mut out = Text::default();
    figures::build(&gateway.topicspace, &mut out);
    figures::log((gateway.dropped_log_lines)(), &mut out);
    gateway.requests.write(&mut out);
    gateway.open.write(&mut out);
    figures::held(&gateway.budget, &mut out);
    let (hosts, config) = tokio::join!(gateway.hosts.fresh(&gateway.details_requester), in_time(flows::records(&gateway.config)));
    figures::hosts(&hosts.iter().filter(|host| host.is_reporting()).map(ShownHost::report).collect::<Vec<_>>(), &mut out);
    let queues = in_time(all_queues(&gateway, config.as_ref().map(|(_, records)| records))).await;
    figures::reachable([("config", config.is_some()), ("broker", queues.is_some())], &mut out);
    if let Some((version, records)) = &config {
        figures::config(*version, records, &mut out);
    }
    if let Some(queues) = &queues {
        figures::queues(queues, &mut out);
    }
    ([(CONTENT_TYPE, MEDIA_TYPE)], out.finish()).into_response()
}

async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Option<T> {
    let limit = GatewayError::TimedOut { limit_s: QUERY_TIMEOUT.as_secs() };
    let answer = tokio::time::timeout(QUERY_TIMEOUT, asked).await.unwrap_or(Err(limit));
    answer.inspect_err(|error| tracing::warn!(error = %weir_pubsub::chain(error), "some metrics omitted")).ok()
}

/// All queues, including the request queues of the services. Without the flows' records it is unknown which belong to flows.
async fn all_queues(gateway: &Gateway, records: Option<&BTreeMap<String, FlowRecord>>) -> Result<Vec<QueueSummary>> {
    let mut all = match records {
        Some(records) => queues::all(gateway, records).await?,
        None => queues::with_depths(gateway, &BTreeMap::new()).await?,
    };
    for service in [CONFIG_SERVICE, FLOW_SERVICE] {
        let mut queue = QueueSummary::of(&service.requests(&gateway.topicspace).map_err(GatewayError::topicspace)?);
        queue.look(&*gateway.backend).await?;
        all.push(queue);
    }
    Ok(all)
}
