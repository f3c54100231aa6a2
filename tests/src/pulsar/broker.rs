//! A running Pulsar: a node started by the tests, or the one that `WEIR_TEST_PULSAR_URL` names.

use std::path::PathBuf;

use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::{Admin, Node};

/// A running Pulsar that tests connect to.
#[derive(Clone, Debug)]
pub struct Broker {
    /// `HOST:PORT`, or several of them.
    address: String,
    admin: Admin,
    /// The folder with the tokens of its roles.
    tokens: Option<PathBuf>,
}

/// The role of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A superuser.
    Admin,
    /// A role that may do what it is permitted in a tenant.
    Weir,
    /// The same with an expired token.
    Expired,
}

impl Role {
    pub(super) const ALL: [(Role, &'static str); 3] =
        [(Role::Admin, ADMIN_TOKEN), (Role::Weir, WEIR_TOKEN), (Role::Expired, EXPIRED_TOKEN)];

    /// Its name, as the broker knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Weir | Role::Expired => "weir",
        }
    }

    pub(super) fn file(self) -> String {
        format!("{self:?}.token").to_lowercase()
    }
}

/// The signing key of all nodes, and tokens made with it: they have no value elsewhere.
pub(super) const KEY: &str = "d2Vpci10ZXN0cy1vbmx5LXdlaXItdGVzdHMtb25seSE=";
pub(super) const ADMIN_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.I6QMZxaLZXxU-SowMFJ3ZU8t2_6VTLrUjym0mtkUFOI";
const WEIR_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3ZWlyIn0.VdfJJp_1XngQHbRL73ojQAWu1eNGz1Zd2XxMnuzQ1e4";
const EXPIRED_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3ZWlyIiwiZXhwIjoxMDAwMDAwMDAwfQ.go_tpr_m4EHgHiTv-Lv29wRlWmAaHtxH9pmNQZakaNM";

impl Broker {
    /// The broker that all tests of this process share: `WEIR_TEST_PULSAR_URL` if set, otherwise a node started at the first call. Tests
    /// leave it running and use a tenant of their own.
    ///
    /// # Panics
    /// If it cannot be started or does not answer.
    pub async fn shared() -> &'static Broker {
        static RUNNING: OnceCell<Broker> = OnceCell::const_new();
        match std::env::var("WEIR_TEST_PULSAR_URL") {
            Ok(url) if !url.is_empty() => RUNNING.get_or_init(|| Broker::named(url)).await,
            _ => Broker::node().await,
        }
    }

    /// The node shared by all tests of this process that need the tokens of its roles.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn node() -> &'static Broker {
        static NODE: OnceCell<Node> = OnceCell::const_new();
        NODE.get_or_init(Node::start).await
    }

    /// The same, for one test at a time: its tenant `tg`, which TrustGraph's programs and the blueprints of many tests name, belongs to the
    /// caller while it holds the guard. What the previous test left in it still exists.
    ///
    /// # Panics
    /// If the tenant cannot be created.
    pub async fn with_tg() -> (&'static Broker, MutexGuard<'static, ()>) {
        static TURN: Mutex<()> = Mutex::const_new(());
        static MADE: OnceCell<()> = OnceCell::const_new();
        let (broker, turn) = (Self::node().await, TURN.lock().await);
        MADE.get_or_init(|| async { broker.admin.make_tenant("tg", &[Role::Weir.name()]).await }).await;
        (broker, turn)
    }

    async fn named(url: String) -> Self {
        let address =
            url.strip_prefix("pulsar://").unwrap_or_else(|| panic!("WEIR_TEST_PULSAR_URL must begin with pulsar://")).trim_end_matches('/');
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let admin = std::env::var("WEIR_TEST_PULSAR_ADMIN_URL").unwrap_or_else(|_| format!("http://{host}:8080"));
        let admin = Admin::at(&admin, None);
        admin.must(reqwest::Method::GET, "clusters", None).await;
        Broker { address: address.to_owned(), admin, tokens: None }
    }

    pub(super) fn on_loopback(port: u16, admin_port: u16, folder: PathBuf) -> Self {
        let admin = Admin::at(&format!("http://127.0.0.1:{admin_port}"), Some(ADMIN_TOKEN));
        Broker { address: format!("127.0.0.1:{port}"), admin, tokens: Some(folder) }
    }

    /// At these addresses, `HOST:PORT,HOST:PORT`, without authentication.
    pub(super) fn of_cluster(addresses: String, admin: Admin) -> Self {
        Broker { address: addresses, admin, tokens: None }
    }

    /// Its address, `HOST:PORT`; for a cluster those of its nodes.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("pulsar://{}", self.address)
    }

    /// Its admin API.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// A file with the token of a role; `None` without authentication.
    #[must_use]
    pub fn token_file(&self, role: Role) -> Option<PathBuf> {
        self.tokens.as_ref().map(|folder| folder.join(role.file()))
    }
}
