//! The connections of the gateway: how many there may be, how long one may wait with its next request, and how long an answer may wait
//! for its reader.
//!
//! Served here and not by axum, which sets no bounds: connections that say nothing would take the file descriptors that the broker needs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::settings::GatewaySettings;
use crate::stalled::Reading;

/// The wait after a connection could not be taken, most often for want of file descriptors: they come back when others end.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// Serves until the token is cancelled; then takes no more requests, and returns when those under way are answered.
///
/// # Cancel safety
/// Dropping the future ends all connections at once.
pub(crate) async fn serve(listener: TcpListener, router: Router, settings: &GatewaySettings, token: &CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.max_connections_count));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.head_time);
    let mut connections = JoinSet::new();
    while let Some((stream, place)) = token.run_until_cancelled(next(&listener, &places)).await {
        // An answer is small, and whoever waits for it should not wait for more to go with it.
        let _ = stream.set_nodelay(true);
        let stream = Reading::new(stream, settings.unread_time);
        connections.spawn(work(http.clone(), stream, router.clone(), token.clone(), place));
        while let Some(ended) = connections.try_join_next() {
            note(ended);
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note(ended);
    }
}

/// The next connection, once there is a place for it. Until then it waits where the system keeps those that nobody has taken.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(error = %weir_pubsub::chain(&error), "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

async fn work(http: http1::Builder, stream: Reading<TcpStream>, router: Router, token: CancellationToken, _place: OwnedSemaphorePermit) {
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
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
