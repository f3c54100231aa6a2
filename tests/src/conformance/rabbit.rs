//! RabbitMQ, reached through a proxy that cuts its connections.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use weir_pubsub::{Backend, Limits, Queue, RabbitBroker, TlsFiles};

use super::brokers::Broker;
use super::own_nodes::{OwnNode, OwnNodes};
use crate::proxy::Proxy;
use crate::rabbitmq::{Broker as Server, DefaultQueues, Node, Vhost};
use crate::wait::{DEADLINE, eventually, within};

/// Each takes some 300 MB, and both cores while it starts.
static NODES: OwnNodes<Node> = OwnNodes::at_most(2);

/// The user of tests that revoke permissions.
const USER: &str = "conformance";

/// One vhost of the node that all tests share, or, for promises about restarts, of a separate node.
pub struct RabbitMq {
    queues: DefaultQueues,
    has_own_node: bool,
    proxies: OnceCell<BrokerProxies>,
    open: Option<Arc<RabbitBroker>>,
}

struct BrokerProxies {
    // Dropped in this order.
    vhost: Vhost,
    proxy: Proxy,
    own: Option<OwnNode<Node>>,
}

impl RabbitMq {
    /// For one promise. Promises that restart the broker or exhaust its memory have a separate node.
    pub fn of(promise: &str) -> Self {
        Self::with(promise, DefaultQueues::Classic)
    }

    /// The same in a virtual host that creates quorum queues by default.
    pub fn quorum(promise: &str) -> Self {
        Self::with(promise, DefaultQueues::Quorum)
    }

    fn with(promise: &str, queues: DefaultQueues) -> Self {
        let has_own_node = ["restart", "survive_the_broker", "close_", "block", "publishers"].iter().any(|word| promise.contains(word));
        RabbitMq { queues, has_own_node, proxies: OnceCell::new(), open: None }
    }

    async fn proxies(&self) -> &BrokerProxies {
        self.proxies.get_or_init(|| self.make()).await
    }

    async fn make(&self) -> BrokerProxies {
        let own = if self.has_own_node { Some(NODES.acquire(Node::start).await) } else { None };
        let server: &Server = match &own {
            Some(node) => node,
            None => Server::shared().await,
        };
        let vhost = server.vhost(self.queues).await;
        let proxy = Proxy::to(&server.address()).await;
        BrokerProxies { vhost, proxy, own }
    }

    async fn server(&self) -> &Server {
        match &self.proxies().await.own {
            Some(node) => node,
            None => Server::shared().await,
        }
    }

    async fn connect(&self) -> Arc<RabbitBroker> {
        let (server, proxies) = (self.server().await, self.proxies().await);
        let user = format!("{USER}-{}", proxies.vhost.name());
        server.management().put_user(&user, "secret").await;
        server.management().permit(&user, proxies.vhost.name(), ".*", ".*", ".*").await;
        let url = server.url_by(proxies.proxy.address(), proxies.vhost.name());
        let (_, rest) = url.split_once('@').unwrap();
        let url = format!("amqp://{user}:secret@{rest}");
        within("a connection", RabbitBroker::connect(&url, Limits::default(), &TlsFiles::default(), Some(server.management().url())))
            .await
            .unwrap()
    }

    async fn permit(&self, pattern: &str) {
        let proxies = self.proxies().await;
        let user = format!("{USER}-{}", proxies.vhost.name());
        self.server().await.management().permit(&user, proxies.vhost.name(), pattern, pattern, pattern).await;
    }

    fn set_reusable(&mut self, is_reusable: bool) {
        if let Some(own) = self.proxies.get_mut().and_then(|proxies| proxies.own.as_mut()) {
            own.set_reusable(is_reusable);
        }
    }

    fn node(&self) -> &Node {
        let own = self.proxies.get().and_then(|proxies| proxies.own.as_ref());
        own.expect("the name of a promise that needs a node of its own holds `restart`, `close` or `block`")
    }
}

impl Broker for RabbitMq {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        async {
            let broker = self.connect().await;
            self.open = Some(broker.clone());
            broker as Arc<dyn Backend>
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
                node.keep_declarations().await;
                node.terminate().await;
                node.start_again().await;
            }
        }
        .boxed()
    }

    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        async {
            let proxy = &self.proxies().await.proxy;
            proxy.refuse();
            proxy.cut();
            // The broker releases what the connections held as soon as it detects their end; so does the backend.
            let broker = self.open.clone().unwrap();
            eventually(DEADLINE, "the loss", || async { broker.is_lost_for_test().then_some(()) }).await;
        }
        .boxed()
    }

    fn lose_publishing(&mut self) -> BoxFuture<'_, ()> {
        async { assert!(self.proxies().await.proxy.cut_those_of("weir publishing") > 0) }.boxed()
    }

    fn lose_consuming(&mut self) -> BoxFuture<'_, ()> {
        async { assert!(self.proxies().await.proxy.cut_those_of("weir consuming") > 0) }.boxed()
    }

    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        async { self.proxies().await.proxy.accept() }.boxed()
    }

    fn hold(&mut self) -> BoxFuture<'_, ()> {
        async { self.proxies().await.proxy.hold() }.boxed()
    }

    fn release(&mut self) -> BoxFuture<'_, ()> {
        async {
            let proxy = &self.proxies().await.proxy;
            proxy.cut();
            proxy.release();
        }
        .boxed()
    }

    fn visible(&self) -> BoxFuture<'_, Option<Vec<String>>> {
        async {
            let queues =
                self.server().await.management().get(&format!("queues/{}?disable_stats=true", self.proxies().await.vhost.name())).await;
            let mut names: Vec<String> = queues.as_array()?.iter().filter_map(|queue| Some(queue["name"].as_str()?.to_owned())).collect();
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

    fn block(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.node().raise_memory_alarm().await;
            self.set_reusable(false);
        }
        .boxed()
    }

    fn unblock(&mut self) -> BoxFuture<'_, ()> {
        async {
            self.node().end_memory_alarm().await;
            self.set_reusable(true);
        }
        .boxed()
    }

    fn deny(&mut self) -> BoxFuture<'_, ()> {
        async { self.permit("^$").await }.boxed()
    }

    fn allow(&mut self) -> BoxFuture<'_, ()> {
        async { self.permit(".*").await }.boxed()
    }

    fn unbind(&mut self, queue: &Queue) -> BoxFuture<'_, ()> {
        let queue = queue.clone();
        async move {
            let vhost = self.proxies().await.vhost.name().to_owned();
            let key = format!("{}.{}", queue.topic().class(), queue.topic().name());
            let path = format!("bindings/{vhost}/e/{}/q/{}/{key}", queue.topic().topicspace(), queue.wire_name());
            self.server().await.management().delete(&path).await;
        }
        .boxed()
    }
}
