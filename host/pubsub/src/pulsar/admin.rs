//! The admin API of Pulsar, over HTTP: topics, subscriptions, and what the binary protocol does not provide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::AdminResponse;
use super::api_url::{FORM, parse};
use super::broker_error::{ANY_SPACE, NO_REASON, fix, is_of_policy, storage_fix};
use super::connection_settings::ConnectionSettings;
use super::names::{TopicName, quoted};
use super::tls;
use crate::error::{Cause, PubsubError, Result};

/// The time-out of one request: deleting a topic waits for its clients.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// The maximum response size: some 100,000 topics.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The maximum number of redirects of one request.
const MAX_REDIRECTS: usize = 8;
/// The prefix of paths for looking up the node of a topic, which are outside the admin API.
const LOOKUP: &str = "lookup/v2/topic/";

/// A client of the admin API.
pub(super) struct Admin {
    client: Client,
    url: Url,
    settings: Arc<ConnectionSettings>,
}

/// Whether a request created something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    New,
    Existed,
}

/// The initial position of a new subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The oldest message that the topic still has.
    Oldest,
    /// After the newest message.
    Newest,
}

/// A bound of a topic, as in its policy.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Quota {
    #[serde(rename = "limitSize")]
    pub(super) limit_bytes: i64,
    pub(super) policy: String,
}

/// The figures of a topic.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TopicStats {
    /// The backlog of its slowest queue.
    #[serde(default, rename = "backlogSize")]
    pub(super) backlog_bytes: i64,
    /// The bound of the backlog; negative if there is none.
    #[serde(default = "no_bound", rename = "backlogQuotaLimitSize")]
    pub(super) bound_bytes: i64,
    #[serde(default)]
    pub(super) publishers: Vec<PublisherStats>,
    #[serde(default)]
    pub(super) subscriptions: BTreeMap<String, SubscriptionStats>,
}

fn no_bound() -> i64 {
    -1
}

/// The figures of a subscription.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SubscriptionStats {
    pub(super) msg_backlog: i64,
    pub(super) unacked_messages: i64,
    pub(super) consumers: Vec<ConsumerStats>,
}

/// A consumer; only its existence is used.
#[derive(Debug, Deserialize)]
pub(super) struct ConsumerStats {}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PublisherStats {
    pub(super) producer_name: String,
    pub(super) address: String,
}

/// The positions of a topic and its subscriptions, in the form `LEDGER:ENTRY`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InternalStats {
    pub(super) last_confirmed_entry: String,
    #[serde(default)]
    pub(super) cursors: BTreeMap<String, CursorStats>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CursorStats {
    pub(super) mark_delete_position: String,
    #[serde(default)]
    pub(super) individually_deleted_messages: String,
}

impl Admin {
    /// A client of the API at this URL; sends nothing yet.
    ///
    /// # Errors
    /// `Refused` if the URL is missing or invalid.
    pub(super) fn new(url: Option<&str>, settings: &Arc<ConnectionSettings>) -> Result<Self> {
        let refused = |problem: String| PubsubError::refused(format!("broker.pulsar-admin: {problem}"));
        let missing = || refused(format!("Pulsar requires the address of its admin API, which creates and deletes queues: {FORM}"));
        let url = parse(url.ok_or_else(missing)?).map_err(refused)?;
        let mut client = Client::builder().no_proxy().timeout(RESPONSE_TIMEOUT).connect_timeout(CONNECT_TIME).redirect(Policy::none());
        if let Some(pem) = &settings.authorities {
            let certificates = Certificate::from_pem_bundle(pem);
            let certificates = certificates.map_err(|_| refused("broker.ca-file contains no PEM certificates".to_owned()))?;
            client = client.tls_certs_only(certificates);
        }
        if let Some(pem) = &settings.identity {
            let identity = Identity::from_pem(pem);
            client =
                client.identity(identity.map_err(|_| refused("broker.certificate-file and broker.key-file cannot be used".to_owned()))?);
        }
        let client = client.build().map_err(|error| refused(error.to_string()))?;
        Ok(Admin { client, url, settings: settings.clone() })
    }

    /// Its URL.
    pub(super) fn address(&self) -> &Url {
        &self.url
    }

    /// The subscriptions of a topic; `None` if the topic does not exist.
    pub(super) async fn subscriptions(&self, topic_name: &TopicName) -> Result<Option<Vec<String>>> {
        self.get(&format!("{}/subscriptions", topic_name.path())).await
    }

    /// Whether its URL has this host and port.
    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.url.host_str() == Some(host) && self.url.port_or_known_default() == Some(port)
    }

    /// Creates a topic.
    pub(super) async fn make_topic(&self, topic_name: &TopicName) -> Result<Created> {
        let answer = self.send(Method::PUT, &topic_name.path(), None).await?;
        if answer.is_there_already() {
            self.check_not_partitioned(topic_name).await?;
            return Ok(Created::Existed);
        }
        self.done(topic_name, answer).map(|()| Created::New)
    }

    /// Whether a topic exists and is partitioned.
    pub(super) async fn is_partitioned(&self, topic_name: &TopicName) -> Result<bool> {
        let found: Option<Value> = self.get(&format!("{}/partitions", topic_name.path())).await?;
        Ok(found.is_some_and(|found| found["partitions"].as_u64().unwrap_or(0) > 0))
    }

    /// # Errors
    /// `Refused` if the topic exists and is partitioned.
    async fn check_not_partitioned(&self, topic_name: &TopicName) -> Result<()> {
        if !self.is_partitioned(topic_name).await? {
            return Ok(());
        }
        Err(PubsubError::refused(format!(
            "{} exists as a partitioned topic, whose queues have no order: delete it (pulsar-admin topics delete-partitioned-topic), or \
             choose another name",
            topic_name.url()
        )))
    }

    /// Creates a subscription.
    pub(super) async fn make_subscription(&self, topic_name: &TopicName, subscription: &str, begin: Begin) -> Result<Created> {
        let begin = match begin {
            Begin::Oldest => json!("earliest"),
            Begin::Newest => json!("latest"),
        };
        let answer = self.send(Method::PUT, &topic_name.subscription_path(subscription), Some(&begin)).await?;
        if answer.is_there_already() { Ok(Created::Existed) } else { self.done(topic_name, answer).map(|()| Created::New) }
    }

    /// Creates a subscription that begins after a position, `LEDGER:ENTRY`.
    pub(super) async fn make_subscription_behind(&self, topic_name: &TopicName, subscription: &str, behind: &str) -> Result<()> {
        let (ledger, entry) = behind.split_once(':').unwrap_or((behind, "-1"));
        let number = |text: &str| text.parse::<i64>().unwrap_or(-1);
        let body = json!({"ledgerId": number(ledger), "entryId": number(entry), "partitionIndex": -1});
        let answer = self.send(Method::PUT, &topic_name.subscription_path(subscription), Some(&body)).await?;
        if answer.is_there_already() { Ok(()) } else { self.done(topic_name, answer) }
    }

    /// Deletes a subscription, with its consumers; succeeds if it does not exist.
    pub(super) async fn delete_subscription(&self, topic_name: &TopicName, subscription: &str) -> Result<()> {
        let path = format!("{}?force=true", topic_name.subscription_path(subscription));
        let answer = self.send(Method::DELETE, &path, None).await?;
        if answer.is(StatusCode::NOT_FOUND) {
            return Ok(());
        }
        self.done(topic_name, answer)
    }

    /// Deletes a topic and disconnects its clients; succeeds if it does not exist.
    pub(super) async fn delete_topic(&self, topic_name: &TopicName) -> Result<()> {
        let answer = self.send(Method::DELETE, &format!("{}?force=true", topic_name.path()), None).await?;
        if answer.is(StatusCode::NOT_FOUND) {
            return Ok(());
        }
        self.done(topic_name, answer)
    }

    /// The figures of a topic; `None` if the topic does not exist.
    pub(super) async fn stats(&self, topic_name: &TopicName) -> Result<Option<TopicStats>> {
        self.get(&format!("{}/stats?getPreciseBacklog=true", topic_name.path())).await
    }

    /// The positions of a topic and its subscriptions; `None` if the topic does not exist.
    pub(super) async fn internal_stats(&self, topic_name: &TopicName) -> Result<Option<InternalStats>> {
        self.get(&format!("{}/internalStats", topic_name.path())).await
    }

    /// The bound of a topic; `None` if it has none of its own.
    pub(super) async fn quota(&self, topic_name: &TopicName) -> Result<Option<Quota>> {
        self.quota_at(format!("{}/backlogQuotaMap", topic_name.path())).await
    }

    /// The effective bound of a topic: its own, or that of its namespace; `None` if there is none.
    pub(super) async fn applied_quota(&self, topic_name: &TopicName) -> Result<Option<Quota>> {
        self.quota_at(format!("{}/backlogQuotaMap?applied=true", topic_name.path())).await
    }

    async fn quota_at(&self, path: String) -> Result<Option<Quota>> {
        let answer = self.send(Method::GET, &path, None).await?;
        if answer.is(StatusCode::NOT_FOUND) || is_switched_off(&answer) {
            return Ok(None);
        }
        let mut map: BTreeMap<String, Quota> = self.read(&self.checked(answer)?)?;
        Ok(map.remove(DESTINATION))
    }

    /// Whether topics may have policies of their own, according to a request for a topic of a namespace, neither of which need exist.
    pub(super) async fn has_topic_policies(&self, topic_name: &TopicName) -> Result<bool> {
        let answer = self.send(Method::GET, &format!("{}/backlogQuotaMap", topic_name.path()), None).await?;
        match is_switched_off(&answer) {
            true => Ok(false),
            false if answer.is(StatusCode::NOT_FOUND) => Ok(true),
            false => self.checked(answer).map(|_| true),
        }
    }

    /// The maximum message size set by a topic's policies, if any.
    pub(super) async fn largest_message_bytes(&self, topic_name: &TopicName) -> Result<Option<u64>> {
        self.get(&format!("{}/maxMessageSize", topic_name.path())).await
    }

    /// Sets or removes the bound of a topic.
    ///
    /// # Errors
    /// `Unsupported` if the broker has no topic policies.
    pub(super) async fn set_quota(&self, topic_name: &TopicName, quota: Option<&Quota>) -> Result<()> {
        let path = format!("{}/backlogQuota?backlogQuotaType={DESTINATION}", topic_name.path());
        let answer = match quota {
            Some(Quota { limit_bytes, policy }) => {
                let body = json!({"limitSize": limit_bytes, "limitTime": -1, "policy": policy});
                self.send(Method::POST, &path, Some(&body)).await?
            }
            None => self.send(Method::DELETE, &path, None).await?,
        };
        if is_switched_off(&answer) {
            return Err(PubsubError::Unsupported { what: "limits of single topics (topicLevelPoliciesEnabled is off)" });
        }
        self.done(topic_name, answer)
    }

    /// The full names of all topics of a namespace; empty if the namespace does not exist.
    pub(super) async fn topics(&self, domain: &str, tenant: &str, namespace: &str) -> Result<Vec<String>> {
        Ok(self.get(&format!("{domain}/{}/{namespace}", quoted(tenant))).await?.unwrap_or_default())
    }

    /// Gets a resource; `None` if it does not exist, or is a policy that is not set.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let answer = self.send(Method::GET, path, None).await?;
        if answer.is(StatusCode::NO_CONTENT) {
            return Ok(None);
        }
        if answer.is(StatusCode::NOT_FOUND) {
            return self.check_missing(&answer).map(|()| None);
        }
        self.read(&self.checked(answer)?).map(Some)
    }

    /// The address of the node that owns a topic, as returned by the broker; `None` if the namespace does not exist.
    pub(super) async fn owner(&self, topic_name: &TopicName) -> Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[derive(Default)]
        struct TopicOwner {
            broker_url: Option<String>,
            broker_url_ssl: Option<String>,
        }
        let found: Option<TopicOwner> = self.get(&format!("{LOOKUP}{}", topic_name.path())).await?;
        Ok(found.and_then(|found| if self.settings.address.is_encrypted { found.broker_url_ssl } else { found.broker_url }))
    }

    /// # Errors
    /// `Refused` if another program responded that nothing is at a path: a broker states what is missing.
    fn check_missing(&self, answer: &AdminResponse) -> Result<()> {
        if answer.value()["reason"].is_string() {
            return Ok(());
        }
        Err(self.refused("this is not the admin API of Pulsar: its paths do not exist there"))
    }

    /// Creates or sets the resource at a path; succeeds if it exists.
    pub(super) async fn provide(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let answer = self.send(method, path, Some(body)).await?;
        if answer.is_there_already() { Ok(()) } else { self.checked(answer).map(|_| ()) }
    }

    fn read<T: DeserializeOwned>(&self, answer: &AdminResponse) -> Result<T> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            PubsubError::refused(format!(
                "broker.pulsar-admin, {}: this is not the admin API of Pulsar: its answer cannot be read: {error}",
                self.url
            ))
        })
    }

    /// # Errors
    /// Any response that is not a success.
    pub(super) fn checked(&self, answer: AdminResponse) -> Result<AdminResponse> {
        self.checked_in(ANY_SPACE, answer)
    }

    /// The same for a request about a namespace.
    fn checked_in(&self, space: &str, answer: AdminResponse) -> Result<AdminResponse> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let text = answer.text();
        Err(match answer.status {
            _ if answer.is_about_token() => {
                let reason = if text == NO_REASON { String::new() } else { format!(" ({text})") };
                let next = match self.settings.token_file() {
                    Some(file) => format!("write a valid one into the file of broker.token-file, {}", file.display()),
                    None => "set broker.token-file to a file with a valid one".to_owned(),
                };
                self.refused(&format!("the token is missing, wrong or has expired{reason}: {next}"))
            }
            _ if answer.is_about_rights() => {
                self.refused(&format!("the role of the token lacks permission ({text}): make it an administrator of the tenant"))
            }
            _ if is_of_policy(&text) => self.refused(&format!("{text}{}", fix(&text, space))),
            // While the topic's node starts or stops.
            StatusCode::PRECONDITION_FAILED if text.contains("find owner") => {
                PubsubError::unavailable(format!("the admin API at {} answers: {text}", self.url))
            }
            status if status.is_server_error() || status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS => {
                PubsubError::unavailable(format!("the admin API at {} answers {status}: {text}{}", self.url, storage_fix(&text)))
            }
            status => self.refused(&format!("it answers {status}: {text}{}", fix(&text, space))),
        })
    }

    fn done(&self, topic_name: &TopicName, answer: AdminResponse) -> Result<()> {
        if answer.lacks_namespace() {
            let TopicName { tenant, namespace, .. } = topic_name;
            return Err(PubsubError::refused(format!(
                "namespace `{tenant}/{namespace}` does not exist on the broker ({}): `weir init` creates tenant and namespaces",
                answer.text()
            )));
        }
        self.checked_in(&topic_name.space(), answer).map(|_| ())
    }

    /// Whether this role may not access the resource at a path. If so, the resource exists: a missing one is reported as missing.
    pub(super) async fn is_forbidden(&self, path: &str) -> Result<bool> {
        Ok(self.send(Method::GET, path, None).await?.is_about_rights())
    }

    fn refused(&self, problem: &str) -> PubsubError {
        PubsubError::refused(format!("broker.pulsar-admin, {}: {problem}", self.url))
    }

    /// Sends a request, following redirects to other nodes; each of them receives the token.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<AdminResponse> {
        let base = self.url.as_str().trim_end_matches('/');
        let folder = if path.starts_with(LOOKUP) { "" } else { "admin/v2/" };
        let mut url: Url = format!("{base}/{folder}{path}").parse().map_err(|_| self.refused("the name is not valid in a path"))?;
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some(token) = self.settings.token()? {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let mut response = request.send().await.map_err(|error| self.unavailable(&url, error))?;
            if response.status() == StatusCode::TEMPORARY_REDIRECT {
                let next = response
                    .headers()
                    .get(LOCATION)
                    .and_then(|location| location.to_str().ok())
                    .and_then(|location| url.join(location).ok());
                // A token protected by TLS is not sent without TLS.
                let next = next.filter(|next| next.scheme() == self.url.scheme());
                url = next.ok_or_else(|| self.refused("it redirects to an invalid address"))?;
                continue;
            }
            let status = response.status();
            let mut answer = Vec::new();
            while let Some(part) = response.chunk().await.map_err(|error| self.unavailable(&url, error))? {
                if answer.len() + part.len() > MAX_ANSWER_BYTES {
                    return Err(self.refused(&format!("its answer has more than {MAX_ANSWER_BYTES} bytes")));
                }
                answer.extend_from_slice(&part);
            }
            return Ok(AdminResponse { status, body: answer });
        }
        Err(PubsubError::unavailable("redirect loop between the broker's nodes for a request to the admin API"))
    }

    fn unavailable(&self, at: &Url, error: reqwest::Error) -> PubsubError {
        if let Some(problem) = tls::problem(&error, "broker.pulsar-admin", "8443") {
            return self.refused(&problem);
        }
        if is_foreign(&error) {
            return self.refused(
                "the server there does not use HTTP: set broker.pulsar-admin to the port of the admin API (8080, with https:// 8443)",
            );
        }
        let reason = match at.host() == self.url.host() && at.port() == self.url.port() {
            true => format!("the admin API at {} does not answer; check broker.pulsar-admin", self.url),
            false => {
                let node = at.origin().ascii_serialization();
                format!("the node at {node}, to which the admin API redirected, does not answer: another one takes over its topics soon")
            }
        };
        PubsubError::Unavailable { reason, source: Some(Cause::of(error.without_url())) }
    }
}

/// Whether the response is not HTTP.
fn is_foreign(error: &reqwest::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source()).any(|cause| cause.to_string().starts_with("invalid HTTP"))
}

/// The kind of quota that limits bytes.
const DESTINATION: &str = "destination_storage";

fn is_switched_off(answer: &AdminResponse) -> bool {
    answer.is(StatusCode::METHOD_NOT_ALLOWED)
}
