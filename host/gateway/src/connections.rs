//! The connections of the gateway: how many there may be, how long one may wait with its next request, and how long an answer may wait
//! for its reader.
//!
//! Served here and not by axum, which sets no bounds: connections that say nothing would take the file descriptors that the broker needs.
//! When all places are taken, further connections wait in a [room](crate::room), those that are quiet or not read give way, and requests for
//! health and figures are served all the same.

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

use crate::error::GatewayError;
use crate::pulse::{Crowd, Pulse, Watched, Way};
use crate::room::{self, Left, Room};
use crate::settings::GatewaySettings;
use crate::tls::{Arrival, Opened, Stream};

/// The wait after a connection could not be taken, most often for want of file descriptors: they come back when others end.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);
/// How long the handshake of TLS may take: a slow line and a busy machine, not a connection that says nothing.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// What is read ahead of one connection, and the most that the head of a request may have.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// Serves until the token is cancelled; then takes no more requests, and returns when those under way are answered.
///
/// # Cancel safety
/// Dropping the future ends all connections at once.
pub(crate) async fn serve(listener: TcpListener, router: Router, settings: &GatewaySettings, token: &CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.max_connections_count));
    let server = Arc::new(Server::new(router, settings, token.clone()));
    let mut room = Room::new(places.clone(), server.crowd.clone(), settings);
    let mut connections = JoinSet::new();
    while let Some(stream) = token.run_until_cancelled(next(&listener)).await {
        // An answer is small, and whoever waits for it should not wait for more to go with it.
        let _ = stream.set_nodelay(true);
        let arrival = Arrival::new(stream, settings.tls.clone(), settings.unread_time);
        let server = server.clone();
        match places.clone().try_acquire_owned() {
            Ok(place) => connections.spawn(async move { server.work(arrival, place).await }),
            Err(_) => {
                let waiting = room.enter(arrival);
                connections.spawn(async move {
                    match server.token.clone().run_until_cancelled(waiting).await {
                        Some(Left::WithPlace(arrival, place)) => server.work(arrival, place).await,
                        Some(Left::ForHealth(arrival, place)) => server.answer_health(arrival, place).await,
                        Some(Left::Refused(refused)) => refused.answer().await,
                        Some(Left::Gone) | None => {}
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

/// What all connections share.
struct Server {
    http: http1::Builder,
    router: Router,
    drain_time: Duration,
    crowd: Arc<Crowd>,
    token: CancellationToken,
}

impl Server {
    fn new(router: Router, settings: &GatewaySettings, token: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(settings.head_time).max_buf_size(READ_AHEAD_BYTES);
        Server { http, router, drain_time: settings.drain_time, crowd: Arc::default(), token }
    }

    async fn work(&self, mut arrival: Arrival, _place: OwnedSemaphorePermit) {
        let pulse = arrival.pulse().clone();
        // It may have waited in the room.
        pulse.restart();
        let opened = tokio::select! {
            biased;
            opened = arrival.open() => opened,
            () = self.token.cancelled() => return,
            _ = pulse.gives_way(&self.crowd) => return,
            () = tokio::time::sleep(HANDSHAKE_TIME) => Opened::Failed(std::io::ErrorKind::TimedOut.into()),
        };
        pulse.restart();
        match (opened, arrival.into_stream()) {
            (Opened::Ready, Some(stream)) => self.serve(stream, pulse).await,
            (Opened::NotTls, Some(stream)) => room::refuse(stream, || GatewayError::NotTls).await,
            (Opened::Failed(error), _) => tracing::debug!(error = %weir_pubsub::chain(&error), "failed TLS handshake"),
            (Opened::Ready | Opened::NotTls, None) => {}
        }
    }

    async fn serve(&self, stream: Stream, pulse: Arc<Pulse>) {
        // It is looked at with each request: a lock of this connection's own costs others nothing.
        let token = self.token.child_token();
        let connection = self.http.serve_connection(TokioIo::new(stream), Watched::new(self.router.clone(), pulse.clone())).with_upgrades();
        tokio::pin!(connection);
        let served = tokio::select! {
            biased;
            served = &mut connection => served,
            () = token.cancelled() => {
                connection.as_mut().graceful_shutdown();
                self.to_its_end(connection, &pulse).await
            }
            way = pulse.gives_way(&self.crowd) => match way {
                Way::Quiet => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        served = self.to_its_end(connection, &pulse) => served,
                        () = pulse.stays_quiet() => Ok(()),
                    }
                }
                Way::Stalled => Ok(()),
            },
        };
        ended(served);
    }

    /// Serves what is under way. When the gateway ends, it is answered in time.
    async fn to_its_end(&self, mut connection: Pin<&mut impl Future<Output = hyper::Result<()>>>, pulse: &Pulse) -> hyper::Result<()> {
        tokio::select! {
            served = connection.as_mut() => served,
            () = self.too_late() => {
                pulse.cut_off();
                connection.await
            }
        }
    }

    /// Waits until the gateway ends and what is under way has had its time.
    async fn too_late(&self) {
        self.token.cancelled().await;
        tokio::time::sleep(self.drain_time).await;
    }

    /// Answers one request for health or figures, and not for long.
    async fn answer_health(&self, arrival: Arrival, _place: OwnedSemaphorePermit) {
        /// Above what `/metrics` may take.
        const TIME: Duration = Duration::from_secs(10);
        let pulse = arrival.pulse().clone();
        let Some(stream) = arrival.into_stream() else { return };
        let mut http = self.http.clone();
        http.keep_alive(false);
        let connection = http.serve_connection(TokioIo::new(stream), Watched::new(self.router.clone(), pulse));
        tokio::select! {
            served = connection => ended(served),
            () = tokio::time::sleep(TIME) => {}
            () = self.too_late() => {}
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
