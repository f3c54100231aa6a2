//! A running RabbitMQ: a node started by the tests, or the one that `WEIR_TEST_RABBITMQ_URL` names.

use reqwest::Url;
use tokio::sync::OnceCell;

use super::{DefaultQueues, Management, Node, Vhost};

/// A running RabbitMQ that tests connect to.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Without a path.
    url: Url,
    management: Management,
}

impl Broker {
    /// The broker that all tests of this process share: `WEIR_TEST_RABBITMQ_URL` if set, otherwise a node of [`Version::tested`] started at
    /// the first call. Tests leave it running and use their own vhost.
    ///
    /// # Panics
    /// If it cannot be started or does not answer.
    ///
    /// [`Version::tested`]: super::Version::tested
    pub async fn shared() -> &'static Broker {
        static SHARED: OnceCell<Shared> = OnceCell::const_new();
        let shared = SHARED.get_or_init(|| async {
            match std::env::var("WEIR_TEST_RABBITMQ_URL") {
                Ok(url) if !url.is_empty() => Shared::Running(Broker::named(&url).await),
                _ => Shared::Node(Node::start().await),
            }
        });
        match shared.await {
            Shared::Node(node) => node,
            Shared::Running(broker) => broker,
        }
    }

    async fn named(url: &str) -> Self {
        let mut url: Url = url.parse().unwrap_or_else(|error| panic!("WEIR_TEST_RABBITMQ_URL is not a URL ({error})"));
        url.set_path("");
        let management = std::env::var("WEIR_TEST_RABBITMQ_MANAGEMENT_URL").unwrap_or_else(|_| {
            let host = url.host_str().unwrap_or("localhost");
            format!("http://{}:{}@{host}:15672", user_of(&url), url.password().unwrap_or("guest"))
        });
        let broker = Broker { management: Management::at(&management), url };
        let answer = broker.management.send(reqwest::Method::GET, "overview", None).await;
        assert!(
            answer.as_ref().is_some_and(|(status, _)| status.is_success()),
            "the broker of WEIR_TEST_RABBITMQ_URL must have the management plugin, for vhosts of the tests' own: set \
             WEIR_TEST_RABBITMQ_MANAGEMENT_URL if it is not at port 15672 (answer: {:?})",
            answer.map(|(status, _)| status)
        );
        broker
    }

    pub(super) fn on_loopback(port: u16, management_port: u16) -> Self {
        let url = format!("amqp://guest:guest@127.0.0.1:{port}").parse().expect("it is a URL");
        Broker { url, management: Management::at(&format!("http://guest:guest@127.0.0.1:{management_port}")) }
    }

    /// Its URL with the vhost `/`, `amqp://USER:PASSWORD@HOST:PORT/%2F`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("%2F")
    }

    /// Its URL with another vhost, whose name is quoted as in URLs.
    #[must_use]
    pub fn url_of(&self, vhost: &str) -> String {
        format!("{}/{vhost}", self.url.as_str().trim_end_matches('/'))
    }

    /// The URL of its vhost `/` for another user.
    ///
    /// # Panics
    /// If user or password need quoting in URLs.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, vhost: &str) -> String {
        let mut broker = self.clone();
        broker.url.set_username(user).unwrap();
        broker.url.set_password(Some(password)).unwrap();
        broker.url_of(vhost)
    }

    /// Its URL through another address, `HOST:PORT`, for example of a [`Proxy`](crate::proxy::Proxy) in front of it.
    #[must_use]
    pub fn url_by(&self, address: std::net::SocketAddr, vhost: &str) -> String {
        self.url_of(vhost).replace(&self.address(), &address.to_string())
    }

    /// Its address, `HOST:PORT`.
    ///
    /// # Panics
    /// If its URL has no host.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().expect("the broker's URL has a host"), self.url.port().unwrap_or(5672))
    }

    /// The user of its URLs, who is an administrator.
    #[must_use]
    pub fn user(&self) -> &str {
        user_of(&self.url)
    }

    /// Its management API.
    #[must_use]
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// The address of its management API with user and password, `http://USER:PASSWORD@HOST:PORT`.
    #[must_use]
    pub fn management_url(&self) -> &str {
        self.management.url()
    }

    /// A fresh vhost, in which [`Broker::user`] has all permissions.
    ///
    /// # Panics
    /// If the broker does not answer or refuses it.
    pub async fn vhost(&self, queues: DefaultQueues) -> Vhost {
        Vhost::new(self, queues).await
    }
}

enum Shared {
    Node(Node),
    Running(Broker),
}

fn user_of(url: &Url) -> &str {
    if url.username().is_empty() { "guest" } else { url.username() }
}
