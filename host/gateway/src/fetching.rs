//! Fetches components for hosts: from a gateway, by digest.

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use futures_util::{StreamExt, TryStreamExt};
use reqwest::Response;
use weir_config::records::Digest;
use weir_config::{ComponentBytes, RemoteComponents, RemoteFault};
use weir_pubsub::chain;

use crate::protocol::ErrorAnswer;
use crate::remote::RemoteGateway;

/// How much of an error response is read.
const ERROR_BYTES: usize = 64 << 10;
/// Maximum number of its characters that are passed on.
const MESSAGE_COUNT: usize = 1_000;

#[async_trait]
impl RemoteComponents for RemoteGateway {
    fn address(&self) -> &str {
        self.url()
    }

    async fn open(&self, digest: Digest) -> Result<ComponentBytes, RemoteFault> {
        let asked = self.request(Method::GET, &format!("/api/v1/weir/components/{digest}")).send().await;
        let response = asked.map_err(|error| unreached(&error))?;
        match response.status() {
            StatusCode::OK => Ok(response.bytes_stream().map_err(|error| broken(&error)).boxed()),
            status => Err(refused(status, error_of(response).await.as_deref())),
        }
    }
}

fn unreached(error: &reqwest::Error) -> RemoteFault {
    RemoteFault(format!("it cannot be reached: {}; the fetch is retried", without_url(error)))
}

fn broken(error: &reqwest::Error) -> RemoteFault {
    RemoteFault(format!("the connection was lost: {}; the fetch is retried", without_url(error)))
}

/// The causes of an error, without the address, which is reported already; for TLS errors, with the fix.
fn without_url(error: &reqwest::Error) -> String {
    match RemoteGateway::tls_fault(error) {
        Some(fault) => format!("{fault}; {}", fault.next()),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), chain),
    }
}

fn refused(status: StatusCode, said: Option<&str>) -> RemoteFault {
    RemoteFault(match (status, said) {
        (StatusCode::NOT_FOUND, Some(_)) => {
            "it does not have this component: deploy the same file there again, weir deploy NAME@VERSION FILE.wasm".to_owned()
        }
        (StatusCode::NOT_FOUND, None) => "the server there is not a gateway of Weir: check the address".to_owned(),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, said) => {
            let said = said.unwrap_or("access denied");
            format!("it answered status {}: {said}; a host requires a token with scope read", status.as_u16())
        }
        (status, Some(said)) => format!("it answered status {}: {said}", status.as_u16()),
        (status, None) => format!("it answered status {}", status.as_u16()),
    })
}

/// The message of an error response of a gateway; `None` if it is not from a gateway.
async fn error_of(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > ERROR_BYTES {
            return None;
        }
    }
    serde_json::from_slice::<ErrorAnswer>(&body).ok().map(|answer| shown(&answer.error.message))
}

/// Formats a message for one log line. The cause and the fix come last, so a shorter limit would cut off what matters.
fn shown(message: &str) -> String {
    message.chars().take(MESSAGE_COUNT).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
