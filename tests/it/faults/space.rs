//! A topicspace for a single test on a real broker, and the network to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use weir_pubsub::{Backend, PulsarBroker, Queue, RabbitBroker};
use weir_tests::proxy::Proxy;
use weir_tests::pulsar::{Broker as Pulsar, Role};
use weir_tests::rabbitmq::{Broker as RabbitMq, DefaultQueues, Version, Vhost};
use weir_tests::wait::{DEADLINE, eventually};

use crate::rabbitmq::quorum::vhost_of;
use crate::rabbitmq::up::queues;
use crate::{cli, host_fixture, pulsar, rabbitmq};

/// A topicspace on a broker.
pub(crate) struct TestBroker {
    name: String,
    on: On,
}

#[allow(clippy::large_enum_variant, reason = "a test has one")]
enum On {
    RabbitMq { broker: RabbitMq, vhost: Vhost, queues: DefaultQueues },
    Pulsar { broker: Pulsar },
}

/// The network between a client and the broker, where faults can be injected.
pub(crate) struct ProxiedLine {
    broker: Proxy,
    /// For Pulsar, whose admin API has a separate address.
    admin: Option<Proxy>,
}

/// A client of the broker.
pub(crate) enum Client {
    RabbitMq(Arc<RabbitBroker>),
    Pulsar(Arc<PulsarBroker>),
}

impl TestBroker {
    /// A virtual host of RabbitMQ.
    pub(crate) async fn on_rabbitmq(broker: &RabbitMq, queues: DefaultQueues) -> Self {
        let vhost = vhost_of(broker, queues).await;
        TestBroker { name: "tg".to_owned(), on: On::RabbitMq { broker: broker.clone(), vhost, queues } }
    }

    /// A tenant of Pulsar.
    pub(crate) async fn on_pulsar(broker: &Pulsar) -> Self {
        let name = format!("t{:08x}", rand::random::<u32>());
        broker.admin().make_tenant(&name, &[Role::Weir.name()]).await;
        TestBroker { name, on: On::Pulsar { broker: broker.clone() } }
    }

    /// The topicspace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the broker in the figures of tests.
    pub(crate) fn broker(&self) -> String {
        match &self.on {
            On::RabbitMq { queues, .. } => format!("RabbitMQ {}, {} queues", Version::tested().name(), queues.name()),
            On::Pulsar { .. } => "Pulsar".to_owned(),
        }
    }

    /// Whether a request waits for the next responder if the one that had it is gone.
    pub(crate) fn keeps_requests(&self) -> bool {
        matches!(self.on, On::RabbitMq { .. })
    }

    /// A text with the topics of the topicspace `tg` replaced by those of this topicspace.
    pub(crate) fn own(&self, text: &str) -> String {
        text.replace(":tg:", &format!(":{}:", self.name))
    }

    /// A queue of the topicspace `tg`, in this topicspace.
    pub(crate) fn queue(&self, topic: &str, subscription: &str) -> Queue {
        host_fixture::queue(&self.own(topic), subscription)
    }

    /// A blueprint with one processor between `in` and `out`; its queues for a flow are [`TestBroker::queues_of`].
    pub(crate) fn blueprint(&self, processor: &str) -> Value {
        serde_json::from_str(&self.own(&cli::blueprint(processor, &json!({})).to_string())).unwrap()
    }

    /// The queue that a flow of such a blueprint reads, and the one it ends in.
    pub(crate) fn queues_of(&self, processor: &str, flow: &str) -> [Queue; 2] {
        [
            self.queue(&format!("flow:tg:in:{flow}"), &format!("{processor}--{flow}--input")),
            self.queue(&format!("flow:tg:out:{flow}"), &format!("gateway--{flow}--out")),
        ]
    }

    /// A connection to the broker where faults can be injected.
    pub(crate) async fn line(&self) -> ProxiedLine {
        match &self.on {
            On::RabbitMq { broker, .. } => ProxiedLine { broker: Proxy::to(&broker.address()).await, admin: None },
            // It sends its own address to clients, which must stay on this line.
            On::Pulsar { broker } => {
                let admin = Some(Proxy::to(&broker.admin().address()).await);
                ProxiedLine { broker: Proxy::in_place_of(broker.address()).await, admin }
            }
        }
    }

    /// Connects to the broker, through a line or without one.
    pub(crate) async fn client(&self, line: Option<&ProxiedLine>) -> Client {
        let (url, admin_url) = self.urls(line);
        match &self.on {
            On::RabbitMq { .. } => Client::RabbitMq(rabbitmq::connection::connected(url).await),
            On::Pulsar { broker } => Client::Pulsar(pulsar::connection::connected_by(broker, &url, &admin_url).await),
        }
    }

    /// The addresses of the broker and of its admin API.
    fn urls(&self, line: Option<&ProxiedLine>) -> (String, String) {
        match (&self.on, line) {
            (On::RabbitMq { vhost, .. }, None) => (vhost.url().to_owned(), String::new()),
            (On::RabbitMq { broker, vhost, .. }, Some(line)) => (broker.url_by(line.broker.address(), vhost.name()), String::new()),
            (On::Pulsar { broker }, None) => (broker.url(), broker.admin().url().to_owned()),
            (On::Pulsar { .. }, Some(line)) => {
                let admin = line.admin.as_ref().expect("a line to Pulsar has both");
                (format!("pulsar://{}", line.broker.address()), format!("http://{}", admin.address()))
            }
        }
    }

    /// The environment that gives a process the broker and the topicspace.
    pub(crate) fn environment(&self, line: Option<&ProxiedLine>) -> Vec<(&'static str, String)> {
        let (url, admin_url) = self.urls(line);
        let mut environment = vec![("WEIR_BROKER_URL", url), ("WEIR_TOPICSPACE", self.name.clone())];
        if let On::Pulsar { broker } = &self.on {
            environment.push(("WEIR_BROKER_PULSAR_ADMIN", admin_url));
            environment.extend(broker.token_file(Role::Weir).map(|file| ("WEIR_BROKER_TOKEN_FILE", file.to_str().unwrap().to_owned())));
        }
        environment
    }

    /// The queues of flows on the broker, by their names on the wire, without the dead letters. Topics without a queue are included.
    pub(crate) async fn queues(&self) -> BTreeSet<String> {
        let all: Vec<String> = match &self.on {
            On::RabbitMq { broker, vhost, .. } => queues(broker.management(), vhost).await,
            On::Pulsar { broker } => self.topics(broker, "persistent", "flow").await.into_iter().collect(),
        };
        let prefix = format!("{}.flow.", self.name);
        all.into_iter().filter(|name| name.starts_with(&prefix) && !name.contains("weir-dead-letters")).collect()
    }

    /// The subscriptions of a namespace with their topics, and topics without any.
    async fn topics(&self, broker: &Pulsar, domain: &str, class: &str) -> BTreeSet<String> {
        let (admin, mut found) = (broker.admin(), BTreeSet::new());
        let topics = admin.must(Method::GET, &format!("{domain}/{}/{class}", self.name), None).await;
        for topic in topics.as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()) {
            let name = topic.rsplit_once('/').unwrap().1;
            let path = topic.replacen("://", "/", 1);
            // A topic that is gone by now has none.
            let Some((status, subscriptions)) = admin.send(Method::GET, &format!("{path}/subscriptions"), None).await else { continue };
            if !status.is_success() || name.starts_with("__") {
                continue;
            }
            let topic = format!("{}.{class}.{name}", self.name);
            let subscriptions = subscriptions.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let mut queues: BTreeSet<String> = subscriptions.map(|name| format!("{topic}.{name}")).collect();
            if queues.is_empty() && class == "flow" {
                queues.insert(topic);
            }
            found.extend(queues);
        }
        found
    }

    /// All queues on the broker, for any purpose, except those that their readers create temporarily.
    pub(crate) async fn everything(&self) -> BTreeSet<String> {
        match &self.on {
            On::RabbitMq { broker, vhost, .. } => {
                let all = queues(broker.management(), vhost).await;
                all.into_iter().filter(|name| !name.starts_with("amq.gen-")).collect()
            }
            On::Pulsar { broker } => {
                let mut all = self.topics(broker, "persistent", "flow").await;
                for class in ["request", "response", "notify"] {
                    all.extend(self.topics(broker, "non-persistent", class).await);
                }
                all
            }
        }
    }

    /// Deletes, as an operator could, the queues behind the lock and the requests of the flow service.
    pub(crate) async fn delete_lock_of_flows(&self) {
        match &self.on {
            On::RabbitMq { broker, vhost, .. } => {
                for name in ["weir.lock.flow.tg", "tg.request.flow.flow-svc"] {
                    broker.management().delete(&format!("queues/{}/{name}", vhost.name())).await;
                }
            }
            On::Pulsar { broker } => {
                // The requests first: the next leader reads them, and would reconnect during each attempt.
                for topic in ["request/flow".to_owned(), format!("notify/weir.lock.flow.{}", self.name)] {
                    let path = format!("non-persistent/{}/{topic}?force=true", self.name);
                    // It fails while another client connects.
                    let deleted = || async {
                        let (status, _) = broker.admin().send(Method::DELETE, &path, None).await?;
                        status.is_success().then_some(())
                    };
                    eventually(DEADLINE, format!("the deletion of {topic}"), deleted).await;
                }
            }
        }
    }
}

impl ProxiedLine {
    /// Resets all connections; new ones are accepted.
    pub(crate) fn cut(&self) {
        self.proxies().for_each(Proxy::cut);
    }

    /// Resets all connections to the broker after at most this many bytes, at a position determined by the seed.
    pub(crate) fn cut_at_random(&self, seed: u64, most_bytes: u64) {
        self.broker.cut_at_random(seed, most_bytes);
    }

    /// Forwards nothing, while connections stay open.
    pub(crate) fn hold(&self) {
        self.proxies().for_each(Proxy::hold);
    }

    /// Forwards again.
    pub(crate) fn release(&self) {
        self.proxies().for_each(Proxy::release);
    }

    /// Refuses new connections, and resets existing ones.
    pub(crate) fn refuse(&self) {
        self.proxies().for_each(Proxy::refuse);
        self.cut();
    }

    /// Accepts connections again.
    pub(crate) fn accept(&self) {
        self.proxies().for_each(Proxy::accept);
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        [&self.broker].into_iter().chain(&self.admin)
    }
}

impl Client {
    /// As the interface common to all brokers.
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Client::RabbitMq(broker) => broker.clone(),
            Client::Pulsar(broker) => broker.clone(),
        }
    }

    /// Whether there is currently no connection.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Client::RabbitMq(broker) => broker.is_lost_for_test(),
            Client::Pulsar(broker) => broker.is_lost_for_test(),
        }
    }
}
