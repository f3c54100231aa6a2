//! What a connection does: whether a request of it is under way, and whether its peer reads. While others wait for a place, one that has been
//! quiet or stalled for a while gives way.

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

/// A connection without a request under way for so long gives way.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// One whose peer has read nothing for so long, although there is something to read, gives way.
const STALLED_TIME: Duration = Duration::from_secs(2);
/// How often a connection looks whether it has to.
const LOOK_TIME: Duration = Duration::from_millis(250);
/// No time: it is not quiet, not stalled.
const NEVER: u64 = u64::MAX;

/// What one connection does.
pub(crate) struct Pulse {
    begun: Instant,
    requests_count: AtomicUsize,
    /// Since when, in milliseconds from its begin.
    quiet_since: AtomicU64,
    stalled_since: AtomicU64,
    /// The gateway ends, and what waits for an answer gets one now. Of each connection, so that no request touches a lock of all.
    cut_off: Notify,
}

/// How many wait for a place that a connection could give them.
#[derive(Default)]
pub(crate) struct Crowd(AtomicUsize);

/// Waits for a place, until it is dropped.
pub(crate) struct Waiting(Arc<Crowd>);

impl Crowd {
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    fn is_waiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a connection gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing is under way: it takes one request that is on its way already, and ends.
    Quiet,
    /// Its peer does not read: it is cut.
    Stalled,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Pulse {
            begun: Instant::now(),
            requests_count: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(NEVER),
            cut_off: Notify::new(),
        }
    }

    /// Quiet counts from now on.
    pub(crate) fn restart(&self) {
        self.quiet_since.store(self.now(), Ordering::Relaxed);
    }

    /// Output begins to wait for its reader.
    pub(crate) fn stall(&self) {
        self.stalled_since.store(self.now(), Ordering::Relaxed);
    }

    /// The reader reads.
    pub(crate) fn flow(&self) {
        self.stalled_since.store(NEVER, Ordering::Relaxed);
    }

    /// Answers the request under way at once, with an error: its connection would be cut off otherwise.
    pub(crate) fn cut_off(&self) {
        self.cut_off.notify_one();
    }

    /// Waits until it has to give way to somebody who waits.
    pub(crate) async fn gives_way(&self, crowd: &Crowd) -> Way {
        loop {
            tokio::time::sleep(LOOK_TIME).await;
            if !crowd.is_waiting() {
                continue;
            }
            if let Some(way) = self.way() {
                return way;
            }
        }
    }

    /// Waits for a last request that was on its way; never returns if one came.
    pub(crate) async fn stays_quiet(&self) {
        tokio::time::sleep(QUIET_TIME).await;
        if self.requests_count.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    fn way(&self) -> Option<Way> {
        let is_over = |since: &AtomicU64, time: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != NEVER && self.now().saturating_sub(since) >= time.as_millis() as u64
        };
        if is_over(&self.stalled_since, STALLED_TIME) {
            return Some(Way::Stalled);
        }
        let is_quiet = self.requests_count.load(Ordering::Relaxed) == 0 && is_over(&self.quiet_since, QUIET_TIME);
        is_quiet.then_some(Way::Quiet)
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests_count.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }
}

/// A request is under way, until this is dropped.
struct UnderWay(Arc<Pulse>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests_count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The routes as one connection has them.
pub(crate) struct Watched {
    routes: TowerToHyperService<Router>,
    pulse: Arc<Pulse>,
}

impl Watched {
    pub(crate) fn new(router: Router, pulse: Arc<Pulse>) -> Self {
        Watched { routes: TowerToHyperService::new(router), pulse }
    }
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response<WatchedBody>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.pulse.begin();
        let answer = self.routes.call(request);
        Box::pin(async move {
            let answer = tokio::select! {
                biased;
                answer = answer => answer?,
                () = under_way.0.cut_off.notified() => GatewayError::CutOff.into_response(),
            };
            Ok(answer.map(|body| WatchedBody { body, _under_way: under_way }))
        })
    }
}

/// The body of an answer: its request is under way until it is written.
pub(crate) struct WatchedBody {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for WatchedBody {
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
    async fn what_is_quiet_or_not_read_gives_way_only_while_others_wait() {
        let (pulse, crowd) = (Arc::new(Pulse::new()), Arc::new(Crowd::default()));
        let request = pulse.begin();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pulse.way(), None);
        pulse.stall();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(pulse.way(), Some(Way::Stalled));
        pulse.flow();
        drop(request);
        assert_eq!(pulse.way(), None);
        let waits = async {
            tokio::time::advance(Duration::from_secs(60)).await;
            crowd.wait()
        };
        let begun = Instant::now();
        let (way, _waiting) = tokio::join!(pulse.gives_way(&crowd), waits);
        assert!(way == Way::Quiet && begun.elapsed() >= Duration::from_secs(60));
    }
}
