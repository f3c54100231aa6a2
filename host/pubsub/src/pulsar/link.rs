//! The connections to all nodes of a broker for one purpose: a permanent one to one of them, used for looking up the node of a topic, and connections
//! to other nodes as needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::{Address, Node};
use super::broker_error::BrokerError;
use super::connection_settings::ConnectionSettings;
use super::proto::{BaseCommand, CONNECT_THERE, Lookup, LookupResponse, REDIRECT, kind};
use super::wire::{Failure, Wire};
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::network::closed;
use crate::recovery::Recovery;

/// The maximum number of redirects of a topic lookup.
const MAX_REDIRECTS: usize = 16;

/// The node that owns a topic.
struct Owner {
    url: String,
    /// Whether it must be reached through the node that was queried.
    is_proxied: bool,
}

#[derive(Clone)]
enum LinkState {
    /// Not connected, with the reason.
    Down(PubsubError),
    Up(Arc<Wire>),
    Closed,
}

/// The connections for one purpose.
pub(super) struct Link {
    settings: Arc<ConnectionSettings>,
    purpose: &'static str,
    state: watch::Receiver<LinkState>,
    /// Connections to other nodes, by the URL that the broker reports.
    others: Mutex<HashMap<String, Arc<Wire>>>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl Link {
    /// Begins to connect. `purpose` names the connection in the log and on the broker.
    pub(super) fn start(settings: Arc<ConnectionSettings>, purpose: &'static str) -> Self {
        let (state, seen) = watch::channel(LinkState::Down(PubsubError::unavailable("it is not connected yet")));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let task = LinkTask { settings: settings.clone(), purpose, state, stop: stop.clone(), first_node: 0, is_first: true };
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            task.run().await;
            drop(guard);
        });
        Link { settings, purpose, state: seen, others: Mutex::default(), stop, ended }
    }

    /// The permanent connection.
    ///
    /// # Errors
    /// `Unavailable`, or `Refused`, with the reason, while not connected.
    pub(super) fn up(&self) -> Result<Arc<Wire>> {
        match &*self.state.borrow() {
            LinkState::Up(wire) if wire.is_up() => Ok(wire.clone()),
            LinkState::Up(wire) => Err(wire.reason()),
            LinkState::Down(error) => Err(error.clone()),
            LinkState::Closed => Err(closed()),
        }
    }

    /// Waits for the first connection, at most for `patience`.
    ///
    /// # Errors
    /// `Refused`, if a node refuses; `Unavailable`, with the reason, after `patience`.
    pub(super) async fn first(&self, patience: Option<Duration>) -> Result<()> {
        match patience {
            None => self.reached().await,
            Some(patience) => timeout(patience, self.reached()).await.unwrap_or_else(|_| self.up().map(|_| ())),
        }
    }

    async fn reached(&self) -> Result<()> {
        let mut state = self.state.clone();
        let found = state.wait_for(|state| !matches!(state, LinkState::Down(PubsubError::Unavailable { .. }))).await;
        match found.as_deref() {
            Ok(LinkState::Up(_)) => Ok(()),
            Ok(LinkState::Down(error)) => Err(error.clone()),
            Ok(LinkState::Closed) | Err(_) => Err(closed()),
        }
    }

    /// A connection to the node that owns a topic, given by its full name.
    pub(super) async fn to(&self, topic: &str) -> Result<Arc<Wire>, Failure> {
        let main = self.up()?;
        let Owner { url, is_proxied } = self.find(&main, topic).await?;
        Ok(self.connected(&main, &url, is_proxied).await?)
    }

    /// The address of the node that owns a topic, as returned by the broker.
    pub(super) async fn owner(&self, topic: &str) -> Result<String, Failure> {
        let main = self.up()?;
        self.find(&main, topic).await.map(|owner| owner.url)
    }

    async fn find(&self, main: &Arc<Wire>, topic: &str) -> Result<Owner, Failure> {
        let (mut wire, mut is_authoritative) = (main.clone(), false);
        for _ in 0..MAX_REDIRECTS {
            let asked = wire.request("the lookup of a topic", |request_id| {
                let lookup = Lookup { topic: topic.to_owned(), request_id, authoritative: Some(is_authoritative) };
                BaseCommand { lookup: Some(lookup), ..BaseCommand::of(kind::LOOKUP) }
            });
            let Some(found) = asked.await?.lookup_response else { continue };
            let url = self.url(&found)?;
            let is_proxied = found.proxy_through_service_url == Some(true);
            match found.response {
                Some(CONNECT_THERE) => return Ok(Owner { url, is_proxied }),
                Some(REDIRECT) => {
                    wire = self.connected(main, &url, is_proxied).await?;
                    is_authoritative = found.authoritative == Some(true);
                }
                _ => {
                    return Err(Failure::Refused(BrokerError::of(
                        6,
                        found.message.as_deref().unwrap_or("the topic is currently not served"),
                    )));
                }
            }
        }
        Err(PubsubError::unavailable("redirect loop between the broker's nodes during the lookup of a topic").into())
    }

    fn url(&self, found: &LookupResponse) -> Result<String> {
        let url = if self.settings.address.is_encrypted { &found.broker_url_tls } else { &found.broker_url };
        let missing = || {
            let port = if self.settings.address.is_encrypted { "brokerServicePortTls" } else { "brokerServicePort" };
            PubsubError::unavailable(format!("the node that owns the topic has no address for this kind of connection: set {port} on it"))
        };
        url.clone().filter(|url| !url.is_empty()).ok_or_else(missing)
    }

    /// A connection to a node: the permanent one if it is the same node.
    async fn connected(&self, main: &Arc<Wire>, url: &str, is_proxied: bool) -> Result<Arc<Wire>> {
        let address =
            Address::parse(url).map_err(|problem| PubsubError::unavailable(format!("a node has an invalid address: {problem}")))?;
        let node: &Node = address.nodes.first().ok_or_else(|| PubsubError::unavailable("a node has no address"))?;
        if !is_proxied && *node == main.node {
            return Ok(main.clone());
        }
        let known = lock(&self.others).get(url).filter(|wire| wire.is_up()).cloned();
        if let Some(wire) = known {
            return Ok(wire);
        }
        let wire = match is_proxied {
            true => Wire::open(&self.settings, &main.node, Some(url), self.purpose).await?,
            false => Wire::open(&self.settings, node, None, self.purpose).await?,
        };
        if self.stop.is_cancelled() {
            return Err(closed());
        }
        let mut others = lock(&self.others);
        others.retain(|_, wire| wire.is_up());
        // If another caller was faster, its connection is kept and shared, and this one is dropped.
        Ok(others.entry(url.to_owned()).or_insert(wire).clone())
    }

    /// Closes the link.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
        for (_, wire) in lock(&self.others).drain() {
            wire.close();
        }
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
    stop: CancellationToken,
    first_node: usize,
    is_first: bool,
}

impl LinkTask {
    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut recovery = Recovery::of(format!("connection to {} for {}", self.settings.address, self.purpose));
        while let Some(wire) = stop.run_until_cancelled(self.connect(&mut recovery)).await {
            self.state.send_replace(LinkState::Up(wire.clone()));
            let Some(error) = stop.run_until_cancelled(wire.ended()).await else {
                wire.close();
                break;
            };
            recovery.lost(&error);
            self.state.send_replace(LinkState::Down(error));
        }
        self.state.send_replace(LinkState::Closed);
    }

    /// Tries all nodes, repeatedly.
    async fn connect(&mut self, recovery: &mut Recovery) -> Arc<Wire> {
        loop {
            let tried = match std::mem::take(&mut self.is_first) {
                // A refusal is returned to the caller that waits for the first connection, and reported there.
                true => self.try_nodes().await.inspect_err(|error| {
                    if !matches!(error, PubsubError::Refused { .. }) {
                        recovery.lost(error);
                    }
                }),
                false => recovery.attempt(|| self.try_nodes()).await,
            };
            match tried {
                Ok(wire) => {
                    tracing::debug!(broker = %wire.node, connection = self.purpose, "connected to the broker");
                    return wire;
                }
                Err(error) => {
                    self.state.send_replace(LinkState::Down(error));
                }
            }
        }
    }

    async fn try_nodes(&mut self) -> Result<Arc<Wire>> {
        let nodes = self.settings.address.nodes.len();
        let mut first_error = None;
        for step in 0..nodes {
            let at = (self.first_node + step) % nodes;
            match Wire::open(&self.settings, &self.settings.address.nodes[at], None, self.purpose).await {
                Ok(wire) => {
                    self.first_node = at;
                    return Ok(wire);
                }
                // A refusal by one node is more informative than a time-out of another.
                Err(error) if first_error.is_none() || matches!(error, PubsubError::Refused { .. }) => first_error = Some(error),
                Err(_) => {}
            }
        }
        Err(first_error.unwrap_or_else(|| PubsubError::unavailable("its URL names no node")))
    }
}
