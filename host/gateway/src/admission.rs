//! Admission of connections above the limit. They wait; requests for health and metrics are recognized by peeking and use reserved slots, and if too
//! many wait, the one that has waited longest is refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::activity::WaiterCount;
use crate::error::GatewayError;
use crate::settings::GatewaySettings;
use crate::tls::{HandshakeOutcome, IncomingConnection, Stream};

/// The maximum of waiting connections: with all slots and WebSockets still below the default limit of 1,024 file descriptors.
const WAITING_COUNT: usize = 64;
/// Slots reserved for health and metrics, which are answered immediately.
const HEALTH_COUNT: usize = 8;
/// The number of connections that are sent a refusal at the same time; others are just closed.
const REFUSED_COUNT: usize = 32;
/// The paths that may use a reserved slot.
const HEALTH_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// How much of a request is examined.
const HEAD_BYTES: usize = 4 << 10;
/// Time limit for a whole refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// How often to check for the rest of a head.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The waiting connections.
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    health: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    waiters: Arc<WaiterCount>,
    /// One per waiting connection, oldest first; cancelled when it has left or must leave.
    waiting: VecDeque<CancellationToken>,
    limit_count: usize,
    time: Duration,
}

/// The outcome of a wait.
pub(crate) enum AdmissionOutcome {
    /// It got a slot.
    Admitted(IncomingConnection, OwnedSemaphorePermit),
    /// It requests health or metrics.
    HealthOnly(IncomingConnection, OwnedSemaphorePermit),
    /// Too many others arrived, or it waited too long.
    Refused(RefusedConnection),
    /// Its peer closed it.
    Gone,
}

/// A connection that is refused because all slots are taken.
pub(crate) struct RefusedConnection {
    incoming: IncomingConnection,
    slot: Option<OwnedSemaphorePermit>,
    limit_count: usize,
}

impl Admission {
    /// No waiting connections yet.
    pub(crate) fn new(slots: Arc<Semaphore>, waiters: Arc<WaiterCount>, settings: &GatewaySettings) -> Self {
        Admission {
            slots,
            health: Arc::new(Semaphore::new(HEALTH_COUNT)),
            refused: Arc::new(Semaphore::new(REFUSED_COUNT)),
            waiters,
            waiting: VecDeque::new(),
            limit_count: settings.max_connections_count,
            time: settings.idle_timeout,
        }
    }

    /// Lets a connection wait; the future returns the outcome.
    pub(crate) fn admit(&mut self, mut incoming: IncomingConnection) -> impl Future<Output = AdmissionOutcome> + Send + 'static {
        self.waiting.retain(|token| !token.is_cancelled());
        if self.waiting.len() >= WAITING_COUNT
            && let Some(oldest) = self.waiting.pop_front()
        {
            oldest.cancel();
        }
        let token = CancellationToken::new();
        self.waiting.push_back(token.clone());
        let (slots, health, refused) = (self.slots.clone(), self.health.clone(), self.refused.clone());
        let (waits, limit_count, time) = (self.waiters.wait(), self.limit_count, self.time);
        async move {
            let _left = token.clone().drop_guard();
            let _waits = waits;
            // The wait for a reserved slot is inside a branch of the select, so it has the same bounds as any other wait.
            let for_health = async {
                if asks_for_health(&mut incoming).await { WaitEnd::Health(health.acquire_owned().await.ok()) } else { WaitEnd::Gone }
            };
            let end = tokio::select! {
                biased;
                slot = slots.acquire_owned() => WaitEnd::Slot(slot.ok()),
                end = for_health => end,
                () = token.cancelled() => WaitEnd::Refused,
                () = tokio::time::sleep(time) => WaitEnd::Refused,
            };
            match end {
                WaitEnd::Slot(Some(slot)) => AdmissionOutcome::Admitted(incoming, slot),
                WaitEnd::Health(Some(slot)) => AdmissionOutcome::HealthOnly(incoming, slot),
                WaitEnd::Refused => {
                    AdmissionOutcome::Refused(RefusedConnection { incoming, slot: refused.try_acquire_owned().ok(), limit_count })
                }
                WaitEnd::Gone | WaitEnd::Slot(None) | WaitEnd::Health(None) => AdmissionOutcome::Gone,
            }
        }
    }
}

enum WaitEnd {
    Slot(Option<OwnedSemaphorePermit>),
    Health(Option<OwnedSemaphorePermit>),
    Refused,
    Gone,
}

/// Waits for a whole request for health or metrics; `false` if the peer closed the connection. Never returns for another request.
async fn asks_for_health(incoming: &mut IncomingConnection) -> bool {
    let (mut head, mut seen_count) = (Vec::new(), 0);
    loop {
        if incoming.look(&mut head, HEAD_BYTES).await.is_err() || head.is_empty() {
            return false;
        }
        match asks(&head) {
            Some(true) => return true,
            Some(false) => std::future::pending().await,
            // Without TLS, peeking returns all bytes received so far again, without waiting.
            None if head.len() == seen_count => tokio::time::sleep(POLL_INTERVAL).await,
            None => seen_count = head.len(),
        }
    }
}

/// Whether a request is for health or metrics; `None` while undecided.
fn asks(head: &[u8]) -> Option<bool> {
    let begins = |path: &str| {
        let line = format!("GET {path}");
        let known_count = head.len().min(line.len());
        let is_so = head[..known_count] == line.as_bytes()[..known_count];
        is_so && head.get(line.len()).is_none_or(|next| matches!(next, b' ' | b'?'))
    };
    if !HEALTH_PATHS.iter().any(|path| begins(path)) || head.len() >= HEAD_BYTES {
        return Some(false);
    }
    head.windows(4).any(|four| four == b"\r\n\r\n").then_some(true)
}

impl RefusedConnection {
    /// Sends the refusal, unless too many are being refused already, and closes the connection.
    pub(crate) async fn answer(self) {
        let RefusedConnection { mut incoming, slot, limit_count } = self;
        if slot.is_none() {
            return;
        }
        let told = async {
            if !matches!(incoming.open().await, HandshakeOutcome::Failed(_))
                && let Some(stream) = incoming.into_stream()
            {
                refuse(stream, || GatewayError::TooManyConnections { limit_count }).await;
            }
        };
        let _ = tokio::time::timeout(REFUSAL_TIME, told).await;
    }
}

/// Answers whatever a connection requests with an error and closes it, within a time limit: the request may not have arrived yet.
pub(crate) async fn refuse(stream: Stream, error: impl Fn() -> GatewayError) {
    let answer = service_fn(|_| {
        let error = error();
        async move { Ok::<_, std::convert::Infallible>(error.into_response()) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REFUSAL_TIME).keep_alive(false);
    let _ = tokio::time::timeout(REFUSAL_TIME, http.serve_connection(TokioIo::new(stream), answer)).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection that requests health.
    async fn health_connection(listener: &TcpListener) -> (TcpStream, IncomingConnection) {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, IncomingConnection::new(stream, None, Duration::from_secs(3_600)))
    }

    async fn soon(left: impl Future<Output = AdmissionOutcome>) -> AdmissionOutcome {
        tokio::time::timeout(Duration::from_secs(60), left).await.unwrap()
    }

    #[tokio::test]
    async fn a_request_for_health_that_finds_no_slot_is_refused_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = GatewaySettings { idle_timeout: Duration::from_secs(1), ..GatewaySettings::default() };
        let mut admission = Admission::new(Arc::new(Semaphore::new(0)), Arc::default(), &settings);
        let mut served = Vec::new();
        for _ in 0..HEALTH_COUNT {
            let (client, incoming) = health_connection(&listener).await;
            let left = soon(admission.admit(incoming)).await;
            assert!(matches!(left, AdmissionOutcome::HealthOnly(..)));
            served.push((client, left));
        }
        let (_client, incoming) = health_connection(&listener).await;
        assert!(matches!(soon(admission.admit(incoming)).await, AdmissionOutcome::Refused(_)));
    }

    #[test]
    fn health_requests_are_recognized_by_their_first_line() {
        for path in HEALTH_PATHS {
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            for count in 0..request.len() {
                assert_eq!(asks(&request.as_bytes()[..count]), None, "{count} {request}");
            }
            assert_eq!(asks(request.as_bytes()), Some(true), "{request}");
            assert_eq!(asks(format!("GET {path}?a=1 HTTP/1.1\r\n\r\n").as_bytes()), Some(true));
            for other in [format!("POST {path} HTTP/1.1\r\n\r\n"), format!("GET {path}z HTTP/1.1\r\n\r\n"), "GET /api".to_owned()] {
                assert_eq!(asks(other.as_bytes()), Some(false), "{other}");
            }
        }
        assert_eq!(asks(format!("GET /metrics {}", "x".repeat(HEAD_BYTES)).as_bytes()), Some(false));
    }
}
