//! One connection to the broker, maintained by a task of its own. The client library's recovery is off: it would recreate deleted queues, and never
//! recovers queues named by the broker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::address::{Address, shown};
use super::broker_error::BrokerError;
use crate::error::{PubsubError, Result};
use crate::network::closed;
use crate::recovery::Recovery;

/// The time-out for connecting to one node, including the handshake.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The time-out of an orderly close.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How often a connection that reported nothing is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// For publishing, for consuming, for declarations, and for declarations that the broker may deny.
const CONNECTIONS_COUNT: usize = 4;

/// Settings shared by all connections.
pub(super) struct ConnectionSettings {
    pub(super) address: Address,
    /// Certificate authorities in PEM; those of the system if `None`.
    pub(super) authorities: Option<String>,
    /// Certificate and key in PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Notified when one of the connections is established: the others then retry immediately.
    pub(super) reached: Notify,
}

/// An established connection.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) connection: Arc<Connection>,
    /// Increases with each connection of the link.
    pub(super) number: u64,
}

#[derive(Clone)]
enum LinkState {
    /// Not connected, with the reason.
    Down(PubsubError),
    Up(Up),
    Closed,
}

/// The broker accepts no publishes because of a memory or disk alarm.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) reason: String,
    pub(super) since: Instant,
}

/// Waits until the broker has accepted no messages for this long; never returns while it accepts them.
pub(super) async fn blocked_for(blocked: &mut watch::Receiver<Option<Blocked>>, time: Duration) -> Blocked {
    loop {
        let found = blocked.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        let Some(found) = found else { return std::future::pending().await };
        let until = found.since + time;
        tokio::select! {
            () = tokio::time::sleep_until(until) => return found,
            _ = blocked.wait_for(Option::is_none) => {}
        }
    }
}

/// A connection that is re-established when it is lost.
pub(super) struct Link {
    state: watch::Receiver<LinkState>,
    blocked: watch::Receiver<Option<Blocked>>,
    renew: Arc<Notify>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Link {
    /// Begins to connect. `purpose` is part of the connection's name, also in the broker's tools.
    pub(super) fn start(settings: Arc<ConnectionSettings>, purpose: &'static str) -> Self {
        let (state, seen) = watch::channel(LinkState::Down(PubsubError::unavailable("it is not connected yet")));
        let (blocked, is_blocked) = watch::channel(None);
        let (renew, stop, ended) = (Arc::new(Notify::new()), CancellationToken::new(), CancellationToken::new());
        let task = LinkTask { settings, purpose, state, blocked, renew: renew.clone(), stop: stop.clone(), number: 0, first_node: 0 };
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            task.run().await;
            drop(guard);
        });
        Link { state: seen, blocked: is_blocked, renew, stop, ended }
    }

    /// The current connection.
    ///
    /// # Errors
    /// `Unavailable`, or `Refused`, with the reason, while not connected.
    pub(super) fn up(&self) -> Result<Up> {
        match &*self.state.borrow() {
            LinkState::Up(up) if up.connection.status().connected() => Ok(up.clone()),
            LinkState::Up(_) => Err(PubsubError::unavailable("the connection to the broker was lost")),
            LinkState::Down(error) => Err(error.clone()),
            LinkState::Closed => Err(closed()),
        }
    }

    /// Waits for the first connection.
    ///
    /// # Errors
    /// `Refused`, if a node refuses. An unreachable broker is retried.
    pub(super) async fn first(&self) -> Result<()> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| !matches!(state, LinkState::Down(PubsubError::Unavailable { .. }))).await;
        match found.as_deref() {
            Ok(LinkState::Up(_)) => Ok(()),
            Ok(LinkState::Down(error)) => Err(error.clone()),
            Ok(LinkState::Closed) | Err(_) => Err(closed()),
        }
    }

    /// Waits for a connection; `None` when the link is closed.
    pub(super) async fn wait(&self) -> Option<Up> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| matches!(state, LinkState::Up(_) | LinkState::Closed)).await;
        match found.as_deref() {
            Ok(LinkState::Up(up)) => Some(up.clone()),
            _ => None,
        }
    }

    /// Why this connection was lost; `None` if it is up.
    pub(super) fn lost(&self, number: u64) -> Option<PubsubError> {
        match &*self.state.borrow() {
            LinkState::Up(up) if up.number == number && up.connection.status().connected() => None,
            LinkState::Down(error) => Some(error.clone()),
            LinkState::Closed => Some(closed()),
            LinkState::Up(_) => Some(PubsubError::unavailable_because("the connection to the broker was lost", Ended::default())),
        }
    }

    /// Whether the link was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until this is no longer the link's connection.
    pub(super) async fn gone(&self, number: u64) {
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| !matches!(state, LinkState::Up(up) if up.number == number)).await;
    }

    /// Whether the broker accepts no publishes at present, and why: a memory or disk alarm.
    pub(super) fn blocked(&self) -> watch::Receiver<Option<Blocked>> {
        self.blocked.clone()
    }

    /// Abandons an unresponsive connection; a new one is established.
    pub(super) fn renew(&self) {
        self.renew.notify_one();
    }

    /// Closes the link; data that was already sent is flushed.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The task of a link.
struct LinkTask {
    settings: Arc<ConnectionSettings>,
    purpose: &'static str,
    state: watch::Sender<LinkState>,
    blocked: watch::Sender<Option<Blocked>>,
    renew: Arc<Notify>,
    stop: CancellationToken,
    number: u64,
    first_node: usize,
}

impl LinkTask {
    async fn run(mut self) {
        let stop = self.stop.clone();
        // One for the link's whole life, so that a broker that accepts and closes connections is tried with growing waits.
        let mut recovery = Recovery::of(format!("connection to {} for {}", self.settings.address, self.purpose));
        while let Some(up) = stop.run_until_cancelled(self.connect(&mut recovery)).await {
            self.state.send_replace(LinkState::Up(up.clone()));
            let reason = stop.run_until_cancelled(self.watch(&up)).await;
            self.blocked.send_replace(None);
            let Some(reason) = reason else {
                self.state.send_replace(LinkState::Closed);
                let _ = timeout(CLOSE_TIME, up.connection.close(200, "closed".into())).await;
                break;
            };
            let error = PubsubError::unavailable_because("the connection to the broker was lost", reason);
            recovery.lost(&error);
            self.state.send_replace(LinkState::Down(error));
        }
        self.state.send_replace(LinkState::Closed);
    }

    /// Tries all nodes, repeatedly.
    async fn connect(&mut self, recovery: &mut Recovery) -> Up {
        let mut is_first = self.number == 0;
        // After a loss, the wait is observed even if others connect: a broker may accept connections and close them.
        let mut retries_now = false;
        loop {
            tokio::select! {
                () = recovery.due() => {}
                () = self.settings.reached.notified(), if retries_now => recovery.retry_now(),
            }
            let trying = self.try_nodes();
            let tried = match std::mem::take(&mut is_first) {
                true => trying.await.inspect_err(|error| {
                    // A refusal is returned to the caller that waits for the first connection, and reported there.
                    if !matches!(error, PubsubError::Refused { .. }) {
                        recovery.lost(error);
                    }
                }),
                false => recovery.attempt(|| trying).await,
            };
            match tried {
                Ok((connection, node)) => {
                    self.settings.reached.notify_waiters();
                    self.number += 1;
                    tracing::debug!(broker = node, connection = self.purpose, "connected to the broker");
                    return Up { connection: Arc::new(connection), number: self.number };
                }
                Err(error) => {
                    retries_now = true;
                    self.state.send_replace(LinkState::Down(error));
                }
            }
        }
    }

    async fn try_nodes(&mut self) -> Result<(Connection, String)> {
        let nodes = self.settings.address.nodes.len();
        let mut first_error = None;
        for step in 0..nodes {
            let at = (self.first_node + step) % nodes;
            let node = &self.settings.address.nodes[at];
            match self.try_node(node).await {
                Ok(connection) => {
                    self.first_node = at;
                    return Ok((connection, shown(node)));
                }
                Err(error) => {
                    // A refusal by one node is more informative than a time-out of another.
                    if first_error.is_none() || matches!(error, PubsubError::Refused { .. }) {
                        first_error = Some(error);
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| PubsubError::unavailable("its URL names no node")))
    }

    async fn try_node(&self, node: &AMQPUri) -> Result<Connection> {
        let name = format!("weir {} ({})", self.purpose, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let identity = self.settings.identity.clone().map(|(pem, key)| OwnedIdentity::PKCS8 { pem, key });
        let config = OwnedTLSConfig { identity, cert_chain: self.settings.authorities.clone() };
        let connecting = super::stream::connect(node.clone(), properties, config);
        match timeout(CONNECT_TIME, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(at_node(node, BrokerError::from(error))),
            Err(_) => Err(at_node(node, BrokerError::timed_out("the connection"))),
        }
    }

    /// Waits until a connection ends, and returns the reason.
    async fn watch(&self, up: &Up) -> Ended {
        let mut events = std::pin::pin!(up.connection.events_listener());
        let mut reason = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => {
                        tracing::warn!(broker = %self.settings.address, connection = self.purpose, reason = why, "broker blocked: no messages \
                             accepted");
                        self.blocked.send_replace(Some(Blocked { reason: why, since: Instant::now() }));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(broker = %self.settings.address, connection = self.purpose, "broker unblocked: messages accepted again");
                        self.blocked.send_replace(None);
                    }
                    // Errors of channels arrive here too.
                    Some(Event::Error(error)) => reason = Some(Ended(BrokerError::from(error).text().to_owned())),
                    Some(_) => {}
                    None => return reason.unwrap_or_default(),
                },
                () = self.renew.notified() => {
                    drop_connection(up);
                    return Ended("the broker did not answer in time".to_owned());
                }
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            if !up.connection.status().connected() {
                return reason.unwrap_or_default();
            }
        }
    }
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(String);

impl Default for Ended {
    fn default() -> Self {
        Ended("it was closed".to_owned())
    }
}

/// Closes a connection that may be unresponsive.
fn drop_connection(up: &Up) {
    let connection = up.connection.clone();
    tokio::spawn(async move { timeout(CLOSE_TIME, connection.close(200, "no answer in time".into())).await });
}

/// The error of a node, with the fix.
fn at_node(node: &AMQPUri, refusal: BrokerError) -> PubsubError {
    let node_url = shown(node);
    if !refusal.is_for_good() {
        let hint = if refusal.is_aborted() { "; check that this is its port for AMQP (5672, with TLS 5671)" } else { "" };
        return PubsubError::unavailable_because(format!("{node_url} cannot be reached"), Ended(format!("{}{hint}", refusal.text())));
    }
    let user = &node.authority.userinfo.username;
    let fix = if refusal.text().contains("limit") {
        format!("raise the limit of user `{user}` or of the virtual host: each process of Weir uses {CONNECTIONS_COUNT} connections")
    } else if refusal.text().contains("vhost") {
        format!(
            "check the virtual host `{}` of broker.url, and that user `{user}` may use it (`rabbitmqctl add_vhost`, `rabbitmqctl set_permissions`)",
            node.vhost
        )
    } else {
        format!("check user `{user}` and the password of broker.url")
    };
    let reason = format!("{node_url}: {}; {fix}", refusal.text());
    PubsubError::refused_because(reason, refusal.plain())
}
