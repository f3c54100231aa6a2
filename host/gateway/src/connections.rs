//! The connections of the gateway: their maximum number, how long one may stay idle, and how long a response may wait for its reader.
//!
//! Served here and not by axum, which sets no limits: idle connections would take the file descriptors that the broker needs. When all slots are
//! taken, further connections wait for [admission](crate::admission), idle and stalled ones yield, and requests for health and metrics are still
//! served.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::activity::{ConnectionActivity, TrackedService, WaiterCount, YieldReason};
use crate::admission::{self, Admission, AdmissionOutcome};
use crate::error::GatewayError;
use crate::settings::GatewaySettings;
use crate::tls::{HandshakeOutcome, IncomingConnection, Stream};

/// The wait after a failed accept, usually for lack of file descriptors, which are released when other connections end.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);
/// Time limit for the TLS handshake: enough for a slow network and a busy machine, but closes silent connections.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The read-ahead buffer of one connection, and the maximum size of a request's head.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// Serves until the token is cancelled; then accepts no more requests, and returns when those in progress are answered.
///
/// # Cancel safety
/// Dropping the future closes all connections immediately.
pub(crate) async fn serve(listener: TcpListener, router: Router, settings: &GatewaySettings, token: &CancellationToken) {
    let slots = Arc::new(Semaphore::new(settings.max_connections_count));
    let server = Arc::new(Server::new(router, settings, token.clone()));
    let mut admission = Admission::new(slots.clone(), server.waiters.clone(), settings);
    let mut connections = JoinSet::new();
    while let Some(stream) = token.run_until_cancelled(next(&listener)).await {
        // Responses are small, and should be sent without waiting for more data.
        let _ = stream.set_nodelay(true);
        let incoming = IncomingConnection::new(stream, settings.tls.clone(), settings.unread_timeout);
        let server = server.clone();
        match slots.clone().try_acquire_owned() {
            Ok(slot) => connections.spawn(async move { server.work(incoming, slot).await }),
            Err(_) => {
                let waiting = admission.admit(incoming);
                connections.spawn(async move {
                    match server.token.clone().run_until_cancelled(waiting).await {
                        Some(AdmissionOutcome::Admitted(incoming, slot)) => server.work(incoming, slot).await,
                        Some(AdmissionOutcome::HealthOnly(incoming, slot)) => server.answer_health(incoming, slot).await,
                        Some(AdmissionOutcome::Refused(refused)) => refused.answer().await,
                        Some(AdmissionOutcome::Gone) | None => {}
                    }
                })
            }
        };
        while let Some(ended) = connections.try_join_next() {
            note(ended);
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note(ended);
    }
}

/// The next connection.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(error = %weir_pubsub::chain(&error), "connection not accepted");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

/// The state shared by all connections.
struct Server {
    http: http1::Builder,
    router: Router,
    drain_timeout: Duration,
    waiters: Arc<WaiterCount>,
    token: CancellationToken,
}

impl Server {
    fn new(router: Router, settings: &GatewaySettings, token: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(settings.idle_timeout).max_buf_size(READ_AHEAD_BYTES);
        Server { http, router, drain_timeout: settings.drain_timeout, waiters: Arc::default(), token }
    }

    async fn work(&self, mut incoming: IncomingConnection, _place: OwnedSemaphorePermit) {
        let activity = incoming.activity().clone();
        // It may have waited for admission.
        activity.restart();
        let opened = tokio::select! {
            biased;
            opened = incoming.open() => opened,
            () = self.token.cancelled() => return,
            _ = activity.wait_to_yield(&self.waiters) => return,
            () = tokio::time::sleep(HANDSHAKE_TIME) => HandshakeOutcome::Failed(std::io::ErrorKind::TimedOut.into()),
        };
        activity.restart();
        match (opened, incoming.into_stream()) {
            (HandshakeOutcome::Ready, Some(stream)) => self.serve(stream, activity).await,
            (HandshakeOutcome::NotTls, Some(stream)) => admission::refuse(stream, || GatewayError::NotTls).await,
            (HandshakeOutcome::Failed(error), _) => tracing::debug!(error = %weir_pubsub::chain(&error), "failed TLS handshake"),
            (HandshakeOutcome::Ready | HandshakeOutcome::NotTls, None) => {}
        }
    }

    async fn serve(&self, stream: Stream, activity: Arc<ConnectionActivity>) {
        // Polled with each request; a child token has its own lock, so connections do not contend.
        let token = self.token.child_token();
        let connection =
            self.http.serve_connection(TokioIo::new(stream), TrackedService::new(self.router.clone(), activity.clone())).with_upgrades();
        tokio::pin!(connection);
        let served = tokio::select! {
            biased;
            served = &mut connection => served,
            () = token.cancelled() => {
                connection.as_mut().graceful_shutdown();
                self.serve_to_end(connection, &activity).await
            }
            reason = activity.wait_to_yield(&self.waiters) => match reason {
                YieldReason::Quiet => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        served = self.serve_to_end(connection, &activity) => served,
                        () = activity.stays_quiet() => Ok(()),
                    }
                }
                YieldReason::Stalled => Ok(()),
            },
        };
        ended(served);
    }

    /// Serves the requests in progress. On shutdown they are answered in time.
    async fn serve_to_end(
        &self,
        mut connection: Pin<&mut impl Future<Output = hyper::Result<()>>>,
        activity: &ConnectionActivity,
    ) -> hyper::Result<()> {
        tokio::select! {
            served = connection.as_mut() => served,
            () = self.drain_expired() => {
                activity.cut_off();
                connection.await
            }
        }
    }

    /// Waits until shutdown has begun and the time for requests in progress has expired.
    async fn drain_expired(&self) {
        self.token.cancelled().await;
        tokio::time::sleep(self.drain_timeout).await;
    }

    /// Answers one request for health or metrics, within a time limit.
    async fn answer_health(&self, incoming: IncomingConnection, _place: OwnedSemaphorePermit) {
        /// Longer than `/metrics` may take.
        const TIME: Duration = Duration::from_secs(10);
        let activity = incoming.activity().clone();
        let Some(stream) = incoming.into_stream() else { return };
        let mut http = self.http.clone();
        http.keep_alive(false);
        let connection = http.serve_connection(TokioIo::new(stream), TrackedService::new(self.router.clone(), activity));
        tokio::select! {
            served = connection => ended(served),
            () = tokio::time::sleep(TIME) => {}
            () = self.drain_expired() => {}
        }
    }
}

fn ended(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(error = %weir_pubsub::chain(&error), "connection ended early");
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = %weir_pubsub::chain(&error), "connection ended by a bug in Weir");
    }
}
