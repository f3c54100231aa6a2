//! The admin API of a broker, as its administrator.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A client of the admin API. It holds no connection, so every runtime can use the same one.
#[derive(Clone, Debug)]
pub struct Admin {
    url: String,
    token: Option<String>,
}

impl Admin {
    /// For the API at this address, for example `http://127.0.0.1:8080`.
    #[must_use]
    pub fn at(url: &str, token: Option<&str>) -> Self {
        Admin { url: url.trim_end_matches('/').to_owned(), token: token.map(str::to_owned) }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address, `HOST:PORT`.
    ///
    /// # Panics
    /// If its URL has no host.
    #[must_use]
    pub fn address(&self) -> String {
        let url: reqwest::Url = self.url.parse().unwrap();
        format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap())
    }

    /// Sends a request; `None` if the broker does not answer. `path` begins after `/admin/v2/`.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(StatusCode, Value)> {
        self.send_to(method, &format!("admin/v2/{path}"), body).await
    }

    /// The URL of the broker that has a topic, by the topic's path; `None` while there is none.
    pub async fn owner(&self, topic: &str) -> Option<String> {
        let (_, answer) = self.send_to(Method::GET, &format!("lookup/v2/topic/{topic}"), None).await?;
        Some(answer["brokerUrl"].as_str()?.to_owned())
    }

    /// Publishes messages by HTTP, as a program without a Pulsar client does; `topic` is a path like `persistent/TENANT/NAMESPACE/TOPIC`.
    ///
    /// # Panics
    /// If one is refused.
    pub async fn publish(&self, topic: &str, messages: &Value) {
        let answer = self.send_to(Method::POST, &format!("topics/{topic}"), Some(messages)).await;
        let (status, answer) = answer.expect("an answer to messages");
        let is_refused = |result: &Value| result["errorCode"].as_u64().is_some_and(|code| code != 0);
        let results = answer["messagePublishResults"].as_array();
        assert!(status.is_success() && results.is_some_and(|all| !all.iter().any(is_refused)), "{topic}: {status}: {answer}");
    }

    async fn send_to(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(StatusCode, Value)> {
        let client = crate::http::client().pool_max_idle_per_host(0).build().unwrap();
        let mut request = client.request(method, format!("{}/{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Calls an operation and returns its answer.
    ///
    /// # Panics
    /// If there is no answer, or a refusal.
    pub async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.send(method.clone(), path, body).await;
        let (status, answer) = answer.unwrap_or_else(|| panic!("no answer to {method} {path}"));
        assert!(status.is_success(), "{method} {path}: {status}: {answer}");
        answer
    }

    /// Creates a tenant with the namespaces of the four classes; these roles may do everything in it. Topics are created on explicit
    /// request only.
    ///
    /// # Panics
    /// As [`Admin::must`].
    pub async fn make_tenant(&self, tenant: &str, roles: &[&str]) {
        self.make_tenant_with(tenant, roles, &["flow", "request", "response", "notify"]).await;
    }

    /// As [`Admin::make_tenant`] with only these namespaces.
    ///
    /// # Panics
    /// As [`Admin::must`].
    pub async fn make_tenant_with(&self, tenant: &str, roles: &[&str], namespaces: &[&str]) {
        let clusters = self.must(Method::GET, "clusters", None).await;
        self.must(Method::PUT, &format!("tenants/{tenant}"), Some(&json!({"allowedClusters": clusters, "adminRoles": roles}))).await;
        for class in namespaces {
            self.must(Method::PUT, &format!("namespaces/{tenant}/{class}"), None).await;
        }
    }

    /// Permits everything in a tenant, to these roles only.
    ///
    /// # Panics
    /// As [`Admin::must`].
    pub async fn permit(&self, tenant: &str, roles: &[&str]) {
        let clusters = self.must(Method::GET, "clusters", None).await;
        self.must(Method::POST, &format!("tenants/{tenant}"), Some(&json!({"allowedClusters": clusters, "adminRoles": roles}))).await;
    }
}
