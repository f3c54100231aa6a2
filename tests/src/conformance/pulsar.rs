//! Pulsar, reached through proxies that cut its connections: one in front of the broker, one in front of its admin API.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::Value;
use tokio::sync::OnceCell;
use weir_pubsub::{Backend, Limits, PulsarBroker, PulsarSettings, TlsFiles};

use super::brokers::Broker;
use super::own_nodes::{OwnNode, OwnNodes};
use crate::proxy::Proxy;
use crate::pulsar::{Broker as Server, Node, Role};
use crate::wait::{DEADLINE, eventually, within};

/// Each takes some 600 MB, and both cores while it starts.
static NODES: OwnNodes<Node> = OwnNodes::at_most(1);

/// Tenants of the node that all tests share, or, for promises about restarts, of a separate node.
pub struct Pulsar {
    has_own_node: bool,
    needs_tokens: bool,
    /// Whether the topicspace `...-other` is used, too.
    has_other_space: bool,
    proxies: OnceCell<BrokerProxies>,
    tenant: String,
    open: Option<Arc<PulsarBroker>>,
}

struct BrokerProxies {
    // Dropped in this order.
    proxy: Proxy,
    admin_proxy: Proxy,
    own: Option<OwnNode<Node>>,
}

impl Pulsar {
    /// For one promise. Promises that restart the broker have a separate node.
    pub fn of(promise: &str) -> Self {
        let is_one_of = |words: &[&str]| words.iter().any(|word| promise.contains(word));
        Pulsar {
            has_own_node: is_one_of(&["restart", "survive_the_broker", "close_"]),
            needs_tokens: is_one_of(&["without_permission", "cannot_be_subscribed", "survives_a_refusal"]),
            has_other_space: is_one_of(&["locks_of_other_names"]),
            proxies: OnceCell::new(),
            tenant: String::new(),
            open: None,
        }
    }

    async fn proxies(&self) -> &BrokerProxies {
        self.proxies.get_or_init(|| self.make()).await
    }

    async fn make(&self) -> BrokerProxies {
        let own = if self.has_own_node { Some(NODES.acquire(Node::start).await) } else { None };
        let server = match &own {
            Some(node) => node,
            None => self.shared().await,
        };
        let proxy = Proxy::in_place_of(server.address()).await;
        let admin_proxy = Proxy::to(&server.admin().address()).await;
        BrokerProxies { proxy, admin_proxy, own }
    }

    async fn shared(&self) -> &'static Server {
        if self.needs_tokens { Server::node().await } else { Server::shared().await }
    }

    async fn server(&self) -> &Server {
        match &self.proxies().await.own {
            Some(node) => node,
            None => self.shared().await,
        }
    }

    async fn connect(&self) -> Arc<PulsarBroker> {
        let (server, proxies) = (self.server().await, self.proxies().await);
        let url = format!("pulsar://{}", proxies.proxy.address());
        let admin = Some(format!("http://{}", proxies.admin_proxy.address()));
        let settings = PulsarSettings { admin, token_file: server.token_file(Role::Weir), ..PulsarSettings::default() };
        within("a connection", PulsarBroker::connect(&url, Limits::default(), &TlsFiles::default(), &settings)).await.unwrap()
    }

    fn node(&self) -> &Node {
        let own = self.proxies.get().and_then(|proxies| proxies.own.as_ref());
        own.expect("the name of a promise that needs a node of its own holds `restart` or `close`")
    }
}

impl Broker for Pulsar {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        async {
            let broker = self.connect().await;
            self.open = Some(broker.clone());
            broker as Arc<dyn Backend>
        }
        .boxed()
    }

    fn prepare<'a>(&'a mut self, topicspace: &'a str) -> BoxFuture<'a, ()> {
        async move {
            topicspace.clone_into(&mut self.tenant);
            let admin = self.server().await.admin();
            admin.make_tenant(topicspace, &[Role::Weir.name()]).await;
            if self.has_other_space {
                admin.make_tenant(&format!("{topicspace}-other"), &[Role::Weir.name()]).await;
            }
        }
        .boxed()
    }

    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Backend>>> {
        async { Some(self.connect().await as Arc<dyn Backend>) }.boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Some(broker) = self.open.take() {
                broker.close().await;
            }
            if let Some(node) = &self.proxies().await.own {
                node.terminate().await;
                node.start_again().await;
            }
        }
        .boxed()
    }

    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        async {
            let BrokerProxies { proxy, admin_proxy, .. } = self.proxies().await;
            for proxy in [proxy, admin_proxy] {
                proxy.refuse();
                proxy.cut();
            }
            // The broker releases what the connections held as soon as it detects their end; so does the backend.
            let broker = self.open.clone().unwrap();
            eventually(DEADLINE, "the loss", || async { broker.is_lost_for_test().then_some(()) }).await;
        }
        .boxed()
    }

    fn lose_publishing(&mut self) -> BoxFuture<'_, ()> {
        async { assert!(self.proxies().await.proxy.cut_those_of("(publishing") > 0) }.boxed()
    }

    fn lose_consuming(&mut self) -> BoxFuture<'_, ()> {
        async { assert!(self.proxies().await.proxy.cut_those_of("(consuming)") > 0) }.boxed()
    }

    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        async {
            let BrokerProxies { proxy, admin_proxy, .. } = self.proxies().await;
            proxy.accept();
            admin_proxy.accept();
        }
        .boxed()
    }

    fn hold(&mut self) -> BoxFuture<'_, ()> {
        async {
            let BrokerProxies { proxy, admin_proxy, .. } = self.proxies().await;
            proxy.hold();
            admin_proxy.hold();
        }
        .boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, ()> {
        async {
            let BrokerProxies { proxy, admin_proxy, .. } = self.proxies().await;
            for proxy in [proxy, admin_proxy] {
                proxy.cut();
                proxy.release();
            }
        }
        .boxed()
    }

    fn visible(&self) -> BoxFuture<'_, Option<Vec<String>>> {
        async {
            let admin = self.server().await.admin();
            let mut names = Vec::new();
            for namespace in ["flow", "request"] {
                let topics = admin.must(Method::GET, &format!("persistent/{}/{namespace}", self.tenant), None).await;
                for topic in topics.as_array()?.iter().filter_map(Value::as_str) {
                    let path = topic.replacen("://", "/", 1);
                    let subscriptions = admin.must(Method::GET, &format!("{path}/subscriptions"), None).await;
                    names.push(format!("{topic}: {subscriptions}"));
                }
            }
            names.sort();
            Some(names)
        }
        .boxed()
    }

    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        async {
            let node = self.node();
            node.terminate().await;
            node.start_again().await;
        }
        .boxed()
    }

    fn deny(&mut self) -> BoxFuture<'_, ()> {
        async { self.server().await.admin().permit(&self.tenant, &[]).await }.boxed()
    }

    fn allow(&mut self) -> BoxFuture<'_, ()> {
        async { self.server().await.admin().permit(&self.tenant, &[Role::Weir.name()]).await }.boxed()
    }

    fn has_request_queues(&self) -> bool {
        false
    }
}
