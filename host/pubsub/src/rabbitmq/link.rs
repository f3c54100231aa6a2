//! One connection to the broker, kept up by a task of its own. The client library's recovery is off: it would make deleted queues again, and
//! never gets back those that the broker named.

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
use super::refusal::Refusal;
use crate::error::{PubsubError, Result};
use crate::network::closed;
use crate::recovery::Recovery;

/// How long one node is tried, with its handshake.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long an orderly end of a connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How often it is looked whether a connection is there that reported nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// For publishing, consuming, declaring, and declaring what the broker may deny.
const CONNECTIONS_COUNT: usize = 4;

/// What connections have in common.
pub(super) struct ConnectionSettings {
    pub(super) address: Address,
    /// Certificate authorities in PEM; those of the system where there are none.
    pub(super) authorities: Option<String>,
    /// Certificate and key in PEM.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// One of the connections is there: the others need not wait any longer.
    pub(super) reached: Notify,
}

/// A connection that is there.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) connection: Arc<Connection>,
    /// Rises with each connection of the link.
    pub(super) number: u64,
}

#[derive(Clone)]
enum State {
    /// Not there, with the reason.
    Down(PubsubError),
    Up(Up),
    Closed,
}

/// That the broker takes nothing that is published, by a memory or disk alarm.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) reason: String,
    pub(super) since: Instant,
}

/// Waits until the broker has taken nothing for so long; never returns while it takes messages.
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

/// A connection that comes back.
pub(super) struct Link {
    state: watch::Receiver<State>,
    blocked: watch::Receiver<Option<Blocked>>,
    renew: Arc<Notify>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Link {
    /// Begins to connect. `purpose` names the connection, in the broker's tools too.
    pub(super) fn start(settings: Arc<ConnectionSettings>, purpose: &'static str) -> Self {
        let (state, seen) = watch::channel(State::Down(PubsubError::unavailable("it is not connected yet")));
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

    /// The connection.
    ///
    /// # Errors
    /// `Unavailable`, or `Refused`, with the reason, while it is not there.
    pub(super) fn up(&self) -> Result<Up> {
        match &*self.state.borrow() {
            State::Up(up) if up.connection.status().connected() => Ok(up.clone()),
            State::Up(_) => Err(PubsubError::unavailable("the connection to the broker was lost")),
            State::Down(error) => Err(error.clone()),
            State::Closed => Err(closed()),
        }
    }

    /// Waits until it is there for the first time.
    ///
    /// # Errors
    /// `Refused`, once a node has said so. A broker that does not answer is waited for.
    pub(super) async fn first(&self) -> Result<()> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| !matches!(state, State::Down(PubsubError::Unavailable { .. }))).await;
        match found.as_deref() {
            Ok(State::Up(_)) => Ok(()),
            Ok(State::Down(error)) => Err(error.clone()),
            Ok(State::Closed) | Err(_) => Err(closed()),
        }
    }

    /// Waits for a connection; `None` when the link is closed.
    pub(super) async fn wait(&self) -> Option<Up> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| matches!(state, State::Up(_) | State::Closed)).await;
        match found.as_deref() {
            Ok(State::Up(up)) => Some(up.clone()),
            _ => None,
        }
    }

    /// Why this connection is lost; nothing if it is there.
    pub(super) fn lost(&self, number: u64) -> Option<PubsubError> {
        match &*self.state.borrow() {
            State::Up(up) if up.number == number && up.connection.status().connected() => None,
            State::Down(error) => Some(error.clone()),
            State::Closed => Some(closed()),
            State::Up(_) => Some(PubsubError::unavailable_because("the connection to the broker was lost", Ended::default())),
        }
    }

    /// Whether it has ended for good.
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until this connection is not the link's any more.
    pub(super) async fn gone(&self, number: u64) {
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| !matches!(state, State::Up(up) if up.number == number)).await;
    }

    /// Why the broker takes nothing that is published, while it does not: a memory or disk alarm.
    pub(super) fn blocked(&self) -> watch::Receiver<Option<Blocked>> {
        self.blocked.clone()
    }

    /// Gives up a connection that does not answer; another is made.
    pub(super) fn renew(&self) {
        self.renew.notify_one();
    }

    /// Ends it for good; what was sent before is sent.
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
    state: watch::Sender<State>,
    blocked: watch::Sender<Option<Blocked>>,
    renew: Arc<Notify>,
    stop: CancellationToken,
    number: u64,
    first_node: usize,
}

impl LinkTask {
    async fn run(mut self) {
        let stop = self.stop.clone();
        // One for its whole life: a broker that accepts connections and closes them is tried less and less often.
        let mut recovery = Recovery::of(format!("connection to {} for {}", self.settings.address, self.purpose));
        while let Some(up) = stop.run_until_cancelled(self.connect(&mut recovery)).await {
            self.state.send_replace(State::Up(up.clone()));
            let reason = stop.run_until_cancelled(self.watch(&up)).await;
            self.blocked.send_replace(None);
            let Some(reason) = reason else {
                self.state.send_replace(State::Closed);
                let _ = timeout(CLOSE_TIME, up.connection.close(200, "closed".into())).await;
                break;
            };
            let error = PubsubError::unavailable_because("the connection to the broker was lost", reason);
            recovery.lost(&error);
            self.state.send_replace(State::Down(error));
        }
        self.state.send_replace(State::Closed);
    }

    /// Tries all nodes, again and again.
    async fn connect(&mut self, recovery: &mut Recovery) -> Up {
        let mut is_first = self.number == 0;
        // One that was lost waits its time, whatever others reach: a broker may accept connections and close them.
        let mut retries_now = false;
        loop {
            tokio::select! {
                () = recovery.due() => {}
                () = self.settings.reached.notified(), if retries_now => recovery.retry_now(),
            }
            let trying = self.try_nodes();
            let tried = match std::mem::take(&mut is_first) {
                true => trying.await.inspect_err(|error| {
                    // A refusal is returned to whoever waits for the first connection, and reported there.
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
                    self.state.send_replace(State::Down(error));
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
                    // What a node refuses says more than another's silence.
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
            Ok(Err(error)) => Err(at_node(node, Refusal::from(error))),
            Err(_) => Err(at_node(node, Refusal::timed_out("the connection"))),
        }
    }

    /// Waits for the end of a connection, and returns the reason.
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
                    // Errors of channels come here too.
                    Some(Event::Error(error)) => reason = Some(Ended(Refusal::from(error).text().to_owned())),
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

/// Closes a connection that may not answer.
fn drop_connection(up: &Up) {
    let connection = up.connection.clone();
    tokio::spawn(async move { timeout(CLOSE_TIME, connection.close(200, "no answer in time".into())).await });
}

/// The error of a node, with what to change.
fn at_node(node: &AMQPUri, refusal: Refusal) -> PubsubError {
    let permit = shown(node);
    if !refusal.is_for_good() {
        let hint = if refusal.is_aborted() { "; check that this is its port for AMQP (5672, with TLS 5671)" } else { "" };
        return PubsubError::unavailable_because(format!("{permit} cannot be reached"), Ended(format!("{}{hint}", refusal.text())));
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
    let reason = format!("{permit}: {}; {fix}", refusal.text());
    PubsubError::refused_because(reason, refusal.plain())
}
