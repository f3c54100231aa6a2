//! Files of `--processor NAME=FILE` are deployed, so that flows and other hosts know them: under the version of their descriptor, or where
//! that is another file's or absent, under one of their digest.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use weir_config::ConfigClient;
use weir_config::names::deployment_key;
use weir_gateway::protocol::{Deployed, ErrorAnswer};
use weir_gateway::{GatewayError, RemoteGateway, record_deployment};
use weir_pubsub::chain;
use weir_runtime::GivenComponent;

use super::component_file::ComponentFile;
use crate::client::escaped;
use crate::problem::{Exit, Problem};

const ANSWER_TIME: Duration = Duration::from_secs(120);
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// How long a start waits for the config service, which may be another process's.
const RECORD_TIME: Duration = Duration::from_secs(60);

/// Why a file is not deployed.
#[derive(Debug)]
pub(super) enum Undeployed {
    /// The gateway does not answer, or not yet.
    NotYet(String),
    /// It refused the file.
    Refused(Problem),
}

/// Deploys a file through a gateway.
///
/// # Cancel safety
/// It may be deployed all the same.
pub(super) async fn deploy(gateway: &RemoteGateway, file: &ComponentFile) -> Result<GivenComponent, Undeployed> {
    for version in file.versions() {
        if post(gateway, file, &version).await? {
            return Ok(file.given(&version));
        }
        tell_taken(file, &version);
    }
    Err(Undeployed::Refused(all_taken(file)))
}

/// The same in the background, until the gateway answers.
pub(super) async fn deploy_once_reachable(gateway: &RemoteGateway, file: &ComponentFile) {
    loop {
        match deploy(gateway, file).await {
            Ok(GivenComponent { component, .. }) => {
                return tracing::info!(file = %file.file.display(), component = component.key(), "component deployed");
            }
            Err(Undeployed::Refused(problem)) => {
                let error = problem.to_string();
                return tracing::error!(file = %file.file.display(), error, "component not deployed: it runs only on this host");
            }
            Err(Undeployed::NotYet(_)) => tokio::time::sleep(RETRY_EVERY).await,
        }
    }
}

/// Records a file that is in the store of this process.
pub(super) async fn record(config: &ConfigClient, file: &ComponentFile) -> Result<GivenComponent, Problem> {
    let failed = |error: GatewayError| {
        let what = format!("{} was not deployed as {}", file.file.display(), file.processor);
        Problem::new(Exit::Failed, what).because(error)
    };
    let end = Instant::now() + RECORD_TIME;
    for version in file.versions() {
        let key = deployment_key(&file.processor, &version);
        loop {
            match record_deployment(config, &key, file.record.clone()).await {
                Ok(_) => return Ok(file.given(&version)),
                Err(GatewayError::VersionTaken { .. }) => break tell_taken(file, &version),
                Err(GatewayError::Config(error)) if error.is_passing() && Instant::now() < end => {
                    tracing::warn!(component = key, error = %chain(&error), "component not deployed yet, retrying");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Err(all_taken(file))
}

fn tell_taken(file: &ComponentFile, version: &str) {
    let component = deployment_key(&file.processor, version);
    tracing::warn!(component, file = %file.file.display(), "version belongs to another file");
}

fn all_taken(file: &ComponentFile) -> Problem {
    let what = format!("{} was not deployed: all its versions of {} belong to other files", file.file.display(), file.processor);
    Problem::new(Exit::Failed, what).next(format!("deploy it under another version: weir deploy {}@VERSION FILE", file.processor))
}

/// `false`: the version belongs to another file.
async fn post(gateway: &RemoteGateway, file: &ComponentFile, version: &str) -> Result<bool, Undeployed> {
    let path = format!("/api/v1/weir/components?name={}&version={}", escaped(&file.processor), escaped(version));
    let request = gateway.request(Method::POST, &path).timeout(ANSWER_TIME).header("content-type", "application/wasm");
    let not_yet = |error: reqwest::Error| Undeployed::NotYet(chain(&error.without_url()));
    let response = request.body(file.bytes.clone()).send().await.map_err(not_yet)?;
    let status = response.status();
    let body = response.bytes().await.map_err(not_yet)?;
    if status.is_success() && serde_json::from_slice::<Deployed>(&body).is_ok() {
        return Ok(true);
    }
    let said = serde_json::from_slice::<ErrorAnswer>(&body).ok().map(|answer| answer.error.message);
    let said = said.unwrap_or_else(|| format!("it answered status {}", status.as_u16()));
    match status {
        StatusCode::CONFLICT => Ok(false),
        status if status.is_server_error() => Err(Undeployed::NotYet(said)),
        status => Err(Undeployed::Refused(refused(gateway, file, status, &said))),
    }
}

fn refused(gateway: &RemoteGateway, file: &ComponentFile, status: StatusCode, said: &str) -> Problem {
    let what = format!("the gateway {} did not deploy {}: {said}", gateway.url(), file.file.display());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Problem::new(Exit::NoPermission, what).next("give the host a token with scope deploy: --token-file FILE, or WEIR_TOKEN")
        }
        _ => Problem::new(Exit::BadInput, what),
    }
}
