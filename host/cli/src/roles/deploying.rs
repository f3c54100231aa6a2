//! Deploys files of `--processor NAME=FILE`, so that flows and other hosts can use them: under the version of their descriptor, or if that is absent
//! or used by another file, under one derived from their digest.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use weir_config::ConfigClient;
use weir_config::names::deployment_key;
use weir_config::records::ComponentRef;
use weir_gateway::protocol::{Deployed, ErrorAnswer};
use weir_gateway::{GatewayError, RemoteGateway, record_deployment};
use weir_pubsub::{Backoff, chain};
use weir_runtime::GivenComponent;

use super::component_file::ComponentFile;
use crate::client::escaped;
use crate::problem::{Exit, Problem};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// The longest wait before resending the whole file to a gateway that answered with an error.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long start-up waits for the config service, which may be in another process.
const RECORD_TIME: Duration = Duration::from_secs(60);

/// Why a file is not deployed.
#[derive(Debug)]
pub(super) enum Undeployed {
    /// The gateway cannot be reached: nothing was sent.
    Away(String),
    /// It answered with an error that may be temporary.
    NotYet(String),
    /// It refused the file.
    Refused(Problem),
}

/// Deploys a file through a gateway.
///
/// # Cancel safety
/// It may still be deployed.
pub(super) async fn deploy(gateway: &RemoteGateway, file: &ComponentFile) -> Result<GivenComponent, Undeployed> {
    for version in file.versions() {
        match post(gateway, file, &version).await? {
            None => return Ok(file.given(&version)),
            Some(reason) => log_version_taken(file, &version, &reason),
        }
    }
    Err(Undeployed::Refused(all_taken(file)))
}

/// The same in the background, until the gateway answers.
pub(super) async fn deploy_once_reachable(gateway: &RemoteGateway, file: &ComponentFile) {
    let mut reported = Reported::default();
    let mut waits = Backoff::new(RETRY_EVERY, LONGEST_WAIT);
    loop {
        match deploy(gateway, file).await {
            Ok(GivenComponent { component, .. }) => return tell_deployed(file, &component),
            Err(Undeployed::Refused(problem)) => {
                let error = problem.to_string();
                return tracing::error!(file = %file.file.display(), error, "component not deployed: it runs only on this host");
            }
            Err(Undeployed::Away(reason)) => {
                reported.note(file, &reason);
                tokio::time::sleep(RETRY_EVERY).await;
            }
            Err(Undeployed::NotYet(reason)) => {
                reported.note(file, &reason);
                let wait = waits.next_wait(&mut rand::rng());
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The last reason for which a file was not deployed: each reason is logged once.
#[derive(Default)]
struct Reported(Option<String>);

impl Reported {
    fn note(&mut self, file: &ComponentFile, reason: &str) {
        if self.0.as_deref() != Some(reason) {
            tracing::warn!(file = %file.file.display(), error = reason, "component not deployed yet, retrying");
            self.0 = Some(reason.to_owned());
        }
    }
}

fn tell_deployed(file: &ComponentFile, component: &ComponentRef) {
    let (path, component, reports) = (file.file.display(), component.key(), file.given_by_itself().component.key());
    if component == reports {
        tracing::info!(file = %path, component, "component deployed");
    } else {
        let next = "restart the host to report the deployed version";
        tracing::warn!(file = %path, component, reports, next, "component deployed under another version than the host reports");
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
                Err(error @ GatewayError::VersionTaken { .. }) => break log_version_taken(file, &version, &error.to_string()),
                Err(GatewayError::Config(error)) if error.is_transient() && Instant::now() < end => {
                    tracing::warn!(component = key, error = %chain(&error), "component not deployed yet, retrying");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Err(all_taken(file))
}

fn log_version_taken(file: &ComponentFile, version: &str, reason: &str) {
    let component = deployment_key(&file.processor, version);
    tracing::warn!(component, file = %file.file.display(), error = reason, "version cannot be used for this file");
}

fn all_taken(file: &ComponentFile) -> Problem {
    let what = format!("{} was not deployed: all its versions of {} belong to other files", file.file.display(), file.processor);
    Problem::new(Exit::Failed, what).next(format!("deploy it under another version: weir deploy {}@VERSION FILE", file.processor))
}

/// Uploads a file. Returns why its version cannot be used, if another version may be accepted.
async fn post(gateway: &RemoteGateway, file: &ComponentFile, version: &str) -> Result<Option<String>, Undeployed> {
    let path = format!("/api/v1/weir/components?name={}&version={}", escaped(&file.processor), escaped(version));
    let request = gateway.request(Method::POST, &path).timeout(RESPONSE_TIMEOUT).header("content-type", "application/wasm");
    let response = request.body(file.bytes.clone()).send().await.map_err(unsent)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unsent)?;
    match Verdict::of(status, &body) {
        Verdict::Deployed => Ok(None),
        Verdict::Taken(reason) => Ok(Some(reason)),
        Verdict::NotYet(reason) => Err(Undeployed::NotYet(reason)),
        Verdict::Refused(reason) => Err(Undeployed::Refused(refused(gateway, file, status, &reason))),
    }
}

fn unsent(error: reqwest::Error) -> Undeployed {
    let is_away = error.is_connect();
    let reason = chain(&error.without_url());
    if is_away { Undeployed::Away(reason) } else { Undeployed::NotYet(reason) }
}

/// The response of a gateway to a file, with its reason.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Deployed,
    /// The version is used by another file, or by this one with other limits.
    Taken(String),
    /// It may succeed later.
    NotYet(String),
    Refused(String),
}

impl Verdict {
    fn of(status: StatusCode, body: &[u8]) -> Self {
        if status.is_success() && serde_json::from_slice::<Deployed>(body).is_ok() {
            return Verdict::Deployed;
        }
        let (kind, reason) = match serde_json::from_slice::<ErrorAnswer>(body) {
            Ok(ErrorAnswer { error }) => (error.kind, error.message),
            Err(_) => (String::new(), format!("it answered status {}", status.as_u16())),
        };
        match status {
            StatusCode::CONFLICT if kind == "conflict" => Verdict::Taken(reason),
            status if status.is_server_error() => Verdict::NotYet(reason),
            _ => Verdict::Refused(reason),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_given_up_only_where_it_is_taken() {
        let answer = |status, kind: &str| {
            let body = serde_json::json!({"error": {"type": kind, "message": "why"}}).to_string();
            Verdict::of(status, body.as_bytes())
        };
        assert_eq!(answer(StatusCode::CONFLICT, "conflict"), Verdict::Taken("why".to_owned()));
        assert_eq!(answer(StatusCode::CONFLICT, "bad-deployment"), Verdict::Refused("why".to_owned()));
        assert_eq!(answer(StatusCode::INSUFFICIENT_STORAGE, "configuration-full"), Verdict::NotYet("why".to_owned()));
        assert_eq!(answer(StatusCode::PAYLOAD_TOO_LARGE, "too-large"), Verdict::Refused("why".to_owned()));
        assert_eq!(Verdict::of(StatusCode::BAD_GATEWAY, b"<html>"), Verdict::NotYet("it answered status 502".to_owned()));
    }
}
