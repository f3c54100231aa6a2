//! `/healthz`: liveness. `/readyz`: readiness, including what the gateway depends on.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use bytes::Bytes;
use weir_config::records::HostStatus;
use weir_pubsub::chain;

use crate::caller::Caller;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{ErrorAnswer, Health, MissingService, ServiceName};

/// Time limit for a service: less than the usual time-out of probes.
const READY_TIME: Duration = Duration::from_secs(2);

/// Liveness: the process answers.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "health", responses(
    (status = 200, description = "Running", body = Health),
    (status = 503, description = "Shutting down", body = Health),
))]
pub(crate) async fn healthz(State(gateway): State<Shared>) -> (StatusCode, Json<Health>) {
    if gateway.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "stopping".to_owned(), reason: None }));
    }
    (StatusCode::OK, Json(Health { status: "ok".to_owned(), reason: None }))
}

/// Readiness: both services answer, the flows were read, and a host is reporting and has the configuration.
///
/// If the gateway has tokens, only callers with a token get the causes.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "health",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready; the reason lists everything that is missing", body = Health),
    )
)]
pub(crate) async fn readyz(State(gateway): State<Shared>, Extension(caller): Extension<Caller>) -> (StatusCode, Json<Health>) {
    let services = missing_services(&gateway, READY_TIME).await.into_iter().map(|MissingService { service, problem }| match caller {
        Caller::Trusted(_) => format!("{} does not answer: {problem}", service.title()),
        Caller::Unknown => format!("{} does not answer", service.title()),
    });
    // First, since it may cause the rest.
    let outage = gateway.backend.outage().map(|outage| match caller {
        Caller::Trusted(_) => outage,
        Caller::Unknown => "the broker is not working".to_owned(),
    });
    let mut missing: Vec<String> = outage.into_iter().chain(services).chain(gateway.dispatch.problem(caller)).collect();
    missing.extend(of_hosts(&gateway.hosts.statuses(), caller));
    let (status, word) = if missing.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (status, Json(Health { status: word.to_owned(), reason: (!missing.is_empty()).then(|| missing.join("; ")) }))
}

/// Problems that keep hosts from working. Their names and the causes are only shown to callers with the token.
fn of_hosts(hosts: &[HostStatus], caller: Caller) -> Vec<String> {
    let is_trusted = matches!(caller, Caller::Trusted(_));
    if hosts.is_empty() {
        let interval = if is_trusted { " (hosts report every 5 s)" } else { "" };
        return vec![format!("no host is reporting{interval}")];
    }
    let problem = |status: &HostStatus| match (&status.config_problem, status.config_version) {
        (Some(problem), _) => Some(format!("host {} cannot fetch the configuration: {problem}", status.host)),
        (None, 0) => Some(format!("host {} has not fetched the configuration yet", status.host)),
        (None, _) => None,
    };
    let problems: Vec<String> = hosts.iter().filter_map(problem).collect();
    match problems.is_empty() || is_trusted {
        true => problems,
        false => vec!["a host has not fetched the configuration".to_owned()],
    }
}

/// The services that do not answer within a time.
pub(super) async fn missing_services(gateway: &Gateway, time: Duration) -> Vec<MissingService> {
    let (config, flow) = tokio::join!(
        missing(ServiceName::Config, time, gateway.services.ask_config(br#"{"operation": "list", "type": "flow"}"#, Caller::SELF)),
        missing(ServiceName::Flow, time, gateway.services.ask_flow(br#"{"operation": "list-blueprints"}"#, Caller::SELF)),
    );
    config.into_iter().chain(flow).collect()
}

/// Why a service is unavailable, if it is. The cause names queues and their sizes, so it is not shown to everyone.
async fn missing(service: ServiceName, time: Duration, asked: impl Future<Output = Result<Bytes>>) -> Option<MissingService> {
    let limit = GatewayError::TimedOut { limit_s: time.as_secs() };
    let problem = match tokio::time::timeout(time, asked).await.unwrap_or(Err(limit)) {
        Ok(answer) => serde_json::from_slice::<ErrorAnswer>(&answer).ok()?.error.message,
        Err(error) => chain(&error),
    };
    Some(MissingService { service, problem })
}
