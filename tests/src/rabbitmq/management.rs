//! The management API of a broker: for frequent queries, since `rabbitmqctl` takes half a second for each call.

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

/// A client of the management API. It holds no connection, so every runtime can use the same one.
#[derive(Clone, Debug)]
pub struct Management {
    url: Url,
}

impl Management {
    /// For the API at this address, with user and password, for example `http://guest:guest@127.0.0.1:15672`.
    ///
    /// # Panics
    /// If it is not a URL.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Management { url: url.parse().unwrap_or_else(|error| panic!("{url:?} is not the address of a management API: {error}")) }
    }

    /// Its address with user and password, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Sends a request; `None` if the broker does not answer. `path` begins after `/api/`, with `%2F` for a slash in a name.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(StatusCode, Value)> {
        let client = crate::http::client().pool_max_idle_per_host(0).build().unwrap();
        let mut request = client.request(method, format!("{}/api/{path}", self.url()));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Gets a resource, for example `queues/VHOST`.
    ///
    /// # Panics
    /// If there is no answer, or a refusal.
    pub async fn get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None).await
    }

    /// Creates or changes a resource, for example `policies/VHOST/NAME`.
    ///
    /// # Panics
    /// As [`Management::get`].
    pub async fn put(&self, path: &str, body: &Value) {
        self.must(Method::PUT, path, Some(body)).await;
    }

    /// Calls an operation, for example `exchanges/VHOST/NAME/publish`, and returns its answer.
    ///
    /// # Panics
    /// As [`Management::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.must(Method::POST, path, Some(body)).await
    }

    /// Deletes a resource; succeeds if it does not exist.
    ///
    /// # Panics
    /// If there is no answer, or another refusal.
    pub async fn delete(&self, path: &str) {
        let (status, answer) = self.send(Method::DELETE, path, None).await.unwrap_or_else(|| panic!("no answer to DELETE {path}"));
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "DELETE {path}: {status}: {answer}");
    }

    /// Creates a user without permissions and without tags, or changes its password.
    ///
    /// # Panics
    /// As [`Management::get`].
    pub async fn put_user(&self, user: &str, password: &str) {
        self.put(&format!("users/{user}"), &json!({"password": password, "tags": ""})).await;
    }

    /// Gives a user these permissions on a vhost: regular expressions for names; `""` means none.
    ///
    /// # Panics
    /// As [`Management::get`].
    pub async fn permit(&self, user: &str, vhost: &str, configure: &str, write: &str, read: &str) {
        let permissions = json!({"configure": configure, "write": write, "read": read});
        self.put(&format!("permissions/{vhost}/{user}"), &permissions).await;
    }

    /// Sets a policy on a vhost; `apply_to` is `queues`, `quorum_queues` (from 4.0), `exchanges` or `all`.
    ///
    /// # Panics
    /// As [`Management::get`].
    pub async fn put_policy(&self, vhost: &str, name: &str, pattern: &str, apply_to: &str, definition: &Value) {
        let policy = json!({"pattern": pattern, "apply-to": apply_to, "definition": definition, "priority": 0});
        self.put(&format!("policies/{vhost}/{name}"), &policy).await;
    }

    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.send(method.clone(), path, body).await;
        let (status, answer) = answer.unwrap_or_else(|| panic!("no answer to {method} {path}"));
        assert!(status.is_success(), "{method} {path}: {status}: {answer}");
        answer
    }
}
