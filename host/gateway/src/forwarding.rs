//! Requests about the bytes of components, at a gateway that stores none: they are forwarded unchanged to the gateway that does, which checks, stores
//! and records, so that nothing is removed there between storing the bytes and recording them. Neither body is ever in memory as a whole.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::RequestBuilder;
use tokio::sync::Mutex;
use weir_config::ComponentFolder;
use weir_pubsub::chain;

use crate::body::drain;
use crate::error::{GatewayError, Result};
use crate::remote::{RemoteGateway, TlsFault};
use crate::settings::GatewaySettings;
use crate::store_fault::StoreFault;

/// Marks a forwarded request. It is not forwarded again, so that gateways that name each other do not forward it in a loop.
const FORWARDED: HeaderName = HeaderName::from_static("weir-forwarded");

/// Time limit for the liveness check of the gateway that stores the components, before anything is sent to it: if it is stopped or hangs, the request
/// fails after this time instead of the longer time limit of its work.
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the bytes of components are stored.
#[derive(Clone, Debug)]
pub enum Components {
    /// This gateway, in a folder.
    Here(ComponentFolder),
    /// Another gateway.
    At(RemoteGateway),
}

impl From<ComponentFolder> for Components {
    fn from(folder: ComponentFolder) -> Self {
        Components::Here(folder)
    }
}

/// A body in transfer, and the rest of it.
type Upload = Arc<Mutex<BodyDataStream>>;

/// Forwards a request to the gateway that stores the components, and returns its response.
pub(crate) async fn forward(settings: &GatewaySettings, store: &RemoteGateway, request: Request) -> Result<Response> {
    if request.headers().contains_key(&FORWARDED) {
        return Err(StoreFault::ForwardedTwice { url: store.url().to_owned() }.into());
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let sent = match alive(store).await {
        Ok(()) => send(settings, store, &parts, body.clone()).await,
        Err(away) => Err(away.into()),
    };
    if sent.is_err() {
        // Drained so that the sender receives the error.
        let mut left = body.lock().await;
        drain(&mut left).await;
    }
    Ok(backward(sent?, settings.body_timeout))
}

/// Whether it responds at all. The response itself is evaluated by the request.
async fn alive(store: &RemoteGateway) -> Result<(), StoreFault> {
    let away = |problem| StoreFault::Away { url: store.url().to_owned(), problem };
    match tokio::time::timeout(LIVENESS_TIMEOUT, store.request(Method::GET, "/healthz").send()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(away(problem_of(error))),
        Err(_) => Err(away(format!("it accepts connections but does not answer within {} s", LIVENESS_TIMEOUT.as_secs()))),
    }
}

async fn send(settings: &GatewaySettings, store: &RemoteGateway, parts: &Parts, body: Upload) -> Result<reqwest::Response> {
    let url = store.url().to_owned();
    // The store gives up earlier and reports why.
    let time = settings.body_timeout + settings.service_timeout;
    let silent = |_| StoreFault::Away { url: url.clone(), problem: format!("it did not answer within {} s", time.as_secs()) };
    let answered = tokio::time::timeout(time, onward(store, parts, body).send()).await.map_err(silent)?;
    let response = answered.map_err(|error| match error.is_body() {
        true => GatewayError::BodyBroken { problem: chain(&error.without_url()) },
        false => StoreFault::Away { url: url.clone(), problem: problem_of(error) }.into(),
    })?;
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(StoreFault::Refused { url, status: status.as_u16() }.into());
    }
    Ok(response)
}

/// The problem between the gateways, and for TLS errors, the fix.
fn problem_of(error: reqwest::Error) -> String {
    match RemoteGateway::tls_fault(&error) {
        Some(fault @ TlsFault::UnknownAuthority) => {
            format!("{fault}; name the CA that signed it, a PEM file, in gateway.components-ca-file of this gateway")
        }
        Some(fault) => format!("{fault}; {}", fault.next()),
        None => chain(&error.without_url()),
    }
}

fn onward(store: &RemoteGateway, parts: &Parts, body: Upload) -> RequestBuilder {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut onward = store.request(parts.method.clone(), path).header(FORWARDED, "1");
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        if let Some(value) = parts.headers.get(&name) {
            onward = onward.header(name, value.clone());
        }
    }
    if parts.method == Method::GET { onward } else { onward.body(reqwest::Body::wrap_stream(pieces_of(body))) }
}

fn pieces_of(body: Upload) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send {
    stream::try_unfold(body, |body| async move {
        let next = body.lock().await.next().await.transpose()?;
        Ok(next.map(|piece| (piece, body)))
    })
}

fn backward(answered: reqwest::Response, pause_time: Duration) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answered.status();
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        if let Some(value) = answered.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response.map(|_| Body::from_stream(pieces(answered, pause_time)))
}

fn pieces(answered: reqwest::Response, pause_time: Duration) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold(answered, move |mut answered| async move {
        let next = tokio::time::timeout(pause_time, answered.chunk()).await.map_err(std::io::Error::other)?;
        Ok(next.map_err(std::io::Error::other)?.map(|piece| (piece, answered)))
    })
}
