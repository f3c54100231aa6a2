//! The activity of a connection: whether a request is in progress, and whether its peer reads. While others wait for a connection, one that has been
//! idle or stalled for a while yields.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::GatewayError;

/// A connection without a request in progress for this long yields.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// A connection whose peer has read nothing for this long, although there is something to read, yields.
const STALLED_TIME: Duration = Duration::from_secs(2);
/// How often a connection checks whether it has to yield.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The connection is not quiet or not stalled.
const NEVER: u64 = u64::MAX;

/// The activity of one connection.
pub(crate) struct ConnectionActivity {
    begun: Instant,
    requests_count: AtomicUsize,
    /// Since when, in milliseconds after `begun`.
    quiet_since: AtomicU64,
    stalled_since: AtomicU64,
    /// Notified on shutdown: a request without a response yet is answered now. Per connection, so that requests do not share a lock.
    cut_off: Notify,
}

/// The number of connections waiting for a slot that another one could release.
#[derive(Default)]
pub(crate) struct WaiterCount(AtomicUsize);

/// Counts a waiting connection until it is dropped.
pub(crate) struct WaitGuard(Arc<WaiterCount>);

impl WaiterCount {
    pub(crate) fn wait(self: &Arc<Self>) -> WaitGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitGuard(self.clone())
    }

    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a connection yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum YieldReason {
    /// No request is in progress: it serves one that may already have been sent, and ends.
    Quiet,
    /// Its peer does not read: it is closed.
    Stalled,
}

impl ConnectionActivity {
    pub(crate) fn new() -> Self {
        ConnectionActivity {
            begun: Instant::now(),
            requests_count: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(NEVER),
            cut_off: Notify::new(),
        }
    }

    /// The idle time starts now.
    pub(crate) fn restart(&self) {
        self.quiet_since.store(self.now(), Ordering::Relaxed);
    }

    /// Output starts to wait for the peer.
    pub(crate) fn stall(&self) {
        self.stalled_since.store(self.now(), Ordering::Relaxed);
    }

    /// The peer reads.
    pub(crate) fn flow(&self) {
        self.stalled_since.store(NEVER, Ordering::Relaxed);
    }

    /// Answers the request in progress immediately with an error; otherwise its connection would be closed without a response.
    pub(crate) fn cut_off(&self) {
        self.cut_off.notify_one();
    }

    /// Waits until it has to yield to a waiting connection.
    pub(crate) async fn wait_to_yield(&self, waiters: &WaiterCount) -> YieldReason {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if !waiters.is_waiting() {
                continue;
            }
            if let Some(reason) = self.yield_reason() {
                return reason;
            }
        }
    }

    /// Waits for a last request that was already sent; never returns if one arrives.
    pub(crate) async fn stays_quiet(&self) {
        tokio::time::sleep(IDLE_TIME).await;
        if self.requests_count.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    fn yield_reason(&self) -> Option<YieldReason> {
        let is_over = |since: &AtomicU64, time: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != NEVER && self.now().saturating_sub(since) >= time.as_millis() as u64
        };
        if is_over(&self.stalled_since, STALLED_TIME) {
            return Some(YieldReason::Stalled);
        }
        let is_quiet = self.requests_count.load(Ordering::Relaxed) == 0 && is_over(&self.quiet_since, IDLE_TIME);
        is_quiet.then_some(YieldReason::Quiet)
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn begin(self: &Arc<Self>) -> RequestGuard {
        self.requests_count.fetch_add(1, Ordering::Relaxed);
        RequestGuard(self.clone())
    }
}

/// A request is in progress until this is dropped.
struct RequestGuard(Arc<ConnectionActivity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests_count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The routes, with the activity of one connection.
pub(crate) struct TrackedService {
    routes: TowerToHyperService<Router>,
    activity: Arc<ConnectionActivity>,
}

impl TrackedService {
    pub(crate) fn new(router: Router, activity: Arc<ConnectionActivity>) -> Self {
        TrackedService { routes: TowerToHyperService::new(router), activity }
    }
}

impl Service<Request<Incoming>> for TrackedService {
    type Response = Response<TrackedBody>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.activity.begin();
        let answer = self.routes.call(request);
        Box::pin(async move {
            let answer = tokio::select! {
                biased;
                answer = answer => answer?,
                () = in_flight.0.cut_off.notified() => GatewayError::CutOff.into_response(),
            };
            Ok(answer.map(|body| TrackedBody { body, _in_flight: in_flight }))
        })
    }
}

/// The body of a response: its request is in progress until the body is written.
pub(crate) struct TrackedBody {
    body: Body,
    _in_flight: RequestGuard,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_or_stalled_connections_give_way_only_while_others_wait() {
        let (activity, waiters) = (Arc::new(ConnectionActivity::new()), Arc::new(WaiterCount::default()));
        let request = activity.begin();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(activity.yield_reason(), None);
        activity.stall();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(activity.yield_reason(), Some(YieldReason::Stalled));
        activity.flow();
        drop(request);
        assert_eq!(activity.yield_reason(), None);
        let waits = async {
            tokio::time::advance(Duration::from_secs(60)).await;
            waiters.wait()
        };
        let begun = Instant::now();
        let (reason, _waiting) = tokio::join!(activity.wait_to_yield(&waiters), waits);
        assert!(reason == YieldReason::Quiet && begun.elapsed() >= Duration::from_secs(60));
    }
}
