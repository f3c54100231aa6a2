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

use crate::pulse::{Crowd, Pulse, Watched, Way};
use crate::room::{Left, Room};
use crate::settings::GatewaySettings;
use crate::stalled::Reading;

/// The wait after a connection could not be taken, most often for want of file descriptors: they come back when others end.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);
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
        let server = server.clone();
        match places.clone().try_acquire_owned() {
            Ok(place) => connections.spawn(async move { server.work(stream, place).await }),
            Err(_) => {
                let waiting = room.enter(stream);
                connections.spawn(async move {
                    match server.token.clone().run_until_cancelled(waiting).await {
                        Some(Left::WithPlace(stream, place)) => server.work(stream, place).await,
                        Some(Left::ForHealth(stream, place)) => server.answer_health(stream, place).await,
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
                tracing::warn!(error = %weir_pubsub::chain(&error), "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

/// What all connections share.
struct Server {
    http: http1::Builder,
    router: Router,
    unread_time: Duration,
    drain_time: Duration,
    crowd: Arc<Crowd>,
    token: CancellationToken,
}

impl Server {
    fn new(router: Router, settings: &GatewaySettings, token: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(settings.head_time).max_buf_size(READ_AHEAD_BYTES);
        let GatewaySettings { unread_time, drain_time, .. } = *settings;
        Server { http, router, unread_time, drain_time, crowd: Arc::default(), token }
    }

    async fn work(&self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        let pulse = Arc::new(Pulse::new());
        // It is looked at with each request: a lock of this connection's own costs others nothing.
        let token = self.token.child_token();
        let stream = TokioIo::new(Reading::new(stream, self.unread_time, pulse.clone()));
        let connection = self.http.serve_connection(stream, Watched::new(self.router.clone(), pulse.clone())).with_upgrades();
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
    async fn answer_health(&self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        /// Above what `/metrics` may take.
        const TIME: Duration = Duration::from_secs(10);
        let pulse = Arc::new(Pulse::new());
        let stream = TokioIo::new(Reading::new(stream, self.unread_time, pulse.clone()));
        let mut http = self.http.clone();
        http.keep_alive(false);
        let connection = http.serve_connection(stream, Watched::new(self.router.clone(), pulse));
        tokio::select! {
            served = connection => ended(served),
            () = tokio::time::sleep(TIME) => {}
            () = self.too_late() => {}
        }
    }
}

fn ended(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(error = %weir_pubsub::chain(&error), "a connection ended early");
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = %weir_pubsub::chain(&error), "a connection ended by a fault of Weir");
    }
}
