//! `GET /api/v1/weir/status`: hosts, flows and queues in one answer.

use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use weir_config::protocol::Usage;

use super::health::missing_services;
use super::queues;
use crate::error::{GatewayError, Result};
use crate::flows::{self, Records};
use crate::gateway::{Gateway, Shared};
use crate::hosts::{ShownHost, now_ms};
use crate::protocol::{FlowSummary, MissingService, QueueSummary, ServiceName, Status};

/// Reports older than this do not reflect flows that were stopped since.
const OLD_MS: u64 = 1_000;

/// Time limit for a service before it is shown as missing.
const SERVICE_TIME: Duration = Duration::from_secs(5);

/// The current state: the hosts' answers (for a host that does not answer within half a second, its last report and its age), the flows,
/// and the queues with their contents. While the config service does not answer: only the hosts and what is missing.
#[utoipa::path(get, path = "/api/v1/weir/status", operation_id = "status", tag = "views", responses((status = 200, description = "The \
     current state", body = Status)))]
pub(crate) async fn get(State(gateway): State<Shared>) -> Result<Json<StatusResponse>> {
    let mut looking = pin!(look(&gateway));
    let mut details_requester = pin!(missing_services(&gateway, SERVICE_TIME));
    let is_config = |missing: &[MissingService]| missing.iter().any(|missing| missing.service == ServiceName::Config);
    // Does not wait for the time-out of requests if the config service does not answer.
    let (looked, missing) = tokio::select! {
        looked = &mut looking => (Some(looked), details_requester.await),
        missing = &mut details_requester => match is_config(&missing) {
            true => (None, missing),
            false => (Some(looking.await), missing),
        },
    };
    let (hosts, seen) = match looked {
        Some(Ok((hosts, seen))) => (hosts, seen),
        Some(Err(error)) if !is_config(&missing) => return Err(error),
        Some(Err(_)) | None => (gateway.hosts.fresh(&gateway.details_requester).await, ObservedState::default()),
    };
    let ObservedState { config_version, config_usage, flows, queues } = seen;
    Ok(Json(StatusResponse {
        version: env!("CARGO_PKG_VERSION"),
        contract: gateway.contract,
        time_ms: now_ms(),
        missing,
        topicspace: gateway.topicspace.clone(),
        config_version,
        config_usage,
        broker_problem: gateway.backend.outage(),
        hosts,
        flows,
        queues,
    }))
}

/// The state from the configuration, and from the broker for its queues.
#[derive(Default)]
struct ObservedState {
    config_version: u64,
    config_usage: Option<Usage>,
    flows: Vec<FlowSummary>,
    queues: Vec<QueueSummary>,
}

async fn look(gateway: &Gateway) -> Result<(Vec<ShownHost>, ObservedState)> {
    let hosts = async {
        let hosts = gateway.hosts.fresh(&gateway.details_requester).await;
        let types = gateway.config.types().await.map_err(GatewayError::Config)?;
        Ok((hosts, types))
    };
    // Concurrently, since each waits for a different part of Weir.
    let ((mut hosts, (types, config_usage)), mut looked) = tokio::try_join!(hosts, StatusParts::at(gateway))?;
    // The flows must be read after the hosts' answers: if a flow stops in between, the hosts still show it, and the flow is absent.
    if types.version != looked.records.version {
        looked = StatusParts::at(gateway).await?;
    }
    let StatusParts { records, flows, queues } = looked;
    let old = hosts.iter_mut().filter(|host| host.age_ms > OLD_MS);
    old.for_each(|host| host.stop_processors(|flow| !records.contains(flow)));
    Ok((hosts, ObservedState { config_version: records.version, config_usage, flows, queues }))
}

/// A [`Status`] for serialization: the processors of hosts are passed on unparsed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StatusResponse {
    version: &'static str,
    contract: &'static str,
    time_ms: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<MissingService>,
    topicspace: String,
    config_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_problem: Option<String>,
    hosts: Vec<ShownHost>,
    flows: Vec<FlowSummary>,
    queues: Vec<QueueSummary>,
}

/// The state from the configuration and the broker.
struct StatusParts {
    records: Records,
    flows: Vec<FlowSummary>,
    queues: Vec<QueueSummary>,
}

impl StatusParts {
    async fn at(gateway: &Gateway) -> Result<Self> {
        let records = flows::read(&gateway.config).await?;
        let (flows, queues) = tokio::try_join!(flows::summaries(&gateway.config, &records), queues::all(gateway, &records.readable))?;
        Ok(StatusParts { records, flows, queues })
    }
}
