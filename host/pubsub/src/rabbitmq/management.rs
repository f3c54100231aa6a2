//! The management API of RabbitMQ, over HTTP, for what AMQP does not provide. It is a plugin of the broker and optional.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::address::Address;
use crate::error::{Cause, PubsubError, Result};
use crate::error_text::shown;

/// The time-out of one request: the broker queries all nodes of a cluster.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// The maximum response size: some 200,000 queues.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The form of the API's URL.
const FORM: &str = "write it as http://HOST:15672 or https://HOST:15671; without USER:PASSWORD@ the credentials of broker.url are used";

/// A client of the API for one virtual host.
pub(super) struct Management {
    client: Client,
    /// Without user and password.
    url: Url,
    user: String,
    password: String,
    pub(super) vhost: String,
}

impl Management {
    /// A client of the API at this URL; sends nothing yet. `authorities` are certificate authorities in PEM, in place of those of the system.
    ///
    /// # Errors
    /// `Refused` for an invalid URL.
    pub(super) fn new(url: &str, broker: &Address, authorities: Option<&str>) -> Result<Self> {
        let refused = |problem: String| PubsubError::refused(format!("broker.management: {problem}"));
        let mut url = parse(url).map_err(refused)?;
        let node = broker.nodes.first().ok_or_else(|| refused("broker.url names no node".to_owned()))?;
        let own = &node.authority.userinfo;
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => (own.username.clone(), own.password.clone()),
            (user, password) => (decoded(user), decoded(password.unwrap_or_default())),
        };
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut client = Client::builder().no_proxy().timeout(RESPONSE_TIMEOUT).connect_timeout(CONNECT_TIME);
        if let Some(pem) = authorities {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes());
            let certificates = certificates.map_err(|_| refused("broker.ca-file contains no PEM certificates".to_owned()))?;
            client = client.tls_certs_only(certificates);
        }
        let client = client.build().map_err(|error| refused(error.to_string()))?;
        Ok(Management { client, url, user, password, vhost: node.vhost.clone() })
    }

    /// Gets a resource; `None` if it does not exist.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Option<T>> {
        let mut url = self.at(path);
        url.query_pairs_mut().extend_pairs(query);
        match self.send(Method::GET, url, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (_, body) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| self.foreign(&format!("its answer cannot be read: {error}")))
            }
        }
    }

    /// Creates or changes a resource.
    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<()> {
        match self.send(Method::PUT, self.at(path), Some(body)).await? {
            (StatusCode::NOT_FOUND, _) => Err(self.refused("the virtual host does not exist", None)),
            _ => Ok(()),
        }
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        url
    }

    /// The status, which is a success or `NOT_FOUND`, and the body.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<(StatusCode, Vec<u8>)> {
        let mut request = self.client.request(method, url).basic_auth(&self.user, Some(&self.password));
        if let Some(body) = body {
            request = request.json(body);
        }
        let unavailable = |error: reqwest::Error| {
            let reason = format!("the management API at {} does not answer", self.url);
            PubsubError::Unavailable { reason, source: Some(Cause::of(error.without_url())) }
        };
        let mut response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unavailable)? {
            if answer.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(self.foreign(&format!("its answer has more than {MAX_ANSWER_BYTES} bytes")));
            }
            answer.extend_from_slice(&part);
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                let fix = "use one with the tag `management` (`policymaker` to set policies) and its password";
                Err(self.refused(&format!("access denied for user `{}`: {fix}", shown(&self.user)), Some(&answer)))
            }
            StatusCode::FORBIDDEN => {
                Err(self
                    .refused(&format!("user `{}` lacks permission: it requires the tag `policymaker`", shown(&self.user)), Some(&answer)))
            }
            StatusCode::NOT_FOUND => Ok((status, answer)),
            status if status.is_success() => Ok((status, answer)),
            status if status.is_server_error() => {
                Err(PubsubError::unavailable(format!("the management API at {} answers {status}: {}", self.url, text(&answer))))
            }
            status => Err(self.refused(&format!("it answers {status}"), Some(&answer))),
        }
    }

    fn refused(&self, problem: &str, answer: Option<&[u8]>) -> PubsubError {
        let reason_and_cause = answer.map(text).filter(|text| !text.is_empty()).map(|text| format!(" ({text})")).unwrap_or_default();
        PubsubError::refused(format!("broker.management, {}: {problem}{reason_and_cause}", self.url))
    }

    /// The error for a response that is not from the management API.
    fn foreign(&self, problem: &str) -> PubsubError {
        self.refused(&format!("this is not the management API of RabbitMQ: {problem}"), None)
    }
}

/// The message of an error response, truncated.
fn text(answer: &[u8]) -> String {
    let reason = serde_json::from_slice::<Value>(answer).ok().and_then(|value| {
        let reason = value.get("reason").or_else(|| value.get("error"))?;
        Some(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned))
    });
    shown(&reason.unwrap_or_else(|| String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned()))
}

/// Checks the form of a management API's URL, without connecting.
///
/// # Errors
/// The problem, for display; never contains a part that may hold the password.
pub fn check_management_url(url: &str) -> Result<(), String> {
    parse(url).map(|_| ())
}

fn parse(url: &str) -> Result<Url, String> {
    let parsed: Url = url.parse().map_err(|_| format!("it is not a URL; {FORM}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("its scheme is neither http nor https; {FORM}"));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(format!("the host is missing; {FORM}"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("write `?` or `#` in the password as %3F or %23; {FORM}"));
    }
    Ok(parsed)
}

/// User or password, percent-decoded from a URL.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn broker() -> Address {
        Address::parse("amqp://me:s%40cret@host/a%2Fb").unwrap()
    }

    #[test]
    fn names_become_parts_of_the_path() {
        let management = Management::new("http://127.0.0.1:15672", &broker(), None).unwrap();
        assert_eq!(management.at(&["queues", &management.vhost, "q/1"]).as_str(), "http://127.0.0.1:15672/api/queues/a%2Fb/q%2F1");
        let behind = Management::new("https://host/rabbit/", &broker(), None).unwrap();
        assert_eq!(behind.at(&["overview"]).as_str(), "https://host/rabbit/api/overview");
    }

    #[test]
    fn the_user_defaults_to_that_of_the_broker_url() {
        let of = |url: &str| {
            let management = Management::new(url, &broker(), None).unwrap();
            assert!(!management.url.as_str().contains('@'));
            (management.user, management.password)
        };
        assert_eq!(of("http://host"), ("me".to_owned(), "s@cret".to_owned()));
        assert_eq!(of("http://you:p%3Aw@host"), ("you".to_owned(), "p:w".to_owned()));
    }

    #[test]
    fn url_problems_are_reported_without_the_password() {
        for (url, expected) in [
            ("", "it is not a URL"),
            ("u:secret@host", "its scheme"),
            ("ftp://u:secret@host", "its scheme"),
            ("http://u:secret@", "it is not a URL"),
            ("http://u:secret@host:x", "it is not a URL"),
            ("http://u:secret@host/#x", "write `?` or `#`"),
        ] {
            let error = check_management_url(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
