//! A cluster of two brokers, with the ZooKeeper and the bookie that both use.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use tokio::net::TcpStream;

use super::process::{BOOT_DEADLINE, Process, java};
use super::{Admin, Broker, install};
use crate::ports::{free_port, is_free};
use crate::wait::eventually;

const BROKERS_COUNT: usize = 2;

/// Two brokers that share their topics, without authentication. Its admin API is that of the first one, which keeps running.
///
/// Dropping it, or any end of the test process, ends its processes and removes their folders.
#[derive(Debug)]
pub struct Cluster {
    broker: Broker,
    /// First, so that they end before what they depend on.
    nodes: Vec<Node>,
    _bookie: Process,
    _zookeeper: Process,
}

#[derive(Debug)]
struct Node {
    port: u16,
    admin: Admin,
    admin_port: u16,
    process: Process,
}

impl Cluster {
    /// Starts it and waits until clients can use both brokers.
    ///
    /// # Panics
    /// If it cannot be installed, or one of its processes ends or does not answer by its deadline; its output is then printed.
    pub async fn start() -> Self {
        let root = tokio::task::spawn_blocking(install::installed).await.unwrap();
        let port = free_port();
        let zookeeper = zookeeper(&root, port).await;
        let nodes: Vec<Node> = (0..BROKERS_COUNT).map(|_| Node::of(&root, port)).collect();
        set_up(&root, port, &nodes[0]).await;
        let bookie = bookie(&root, port);
        for node in &nodes {
            node.process.begin();
        }
        for node in &nodes {
            node.booted().await;
        }
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let broker = Broker::of_cluster(addresses.join(","), nodes[0].admin.clone());
        Cluster { broker, nodes, _bookie: bookie, _zookeeper: zookeeper }
    }

    /// Both brokers, in the form of a client URL.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Unloads all topics of a namespace: each is assigned to one of the brokers again.
    pub async fn unload(&self, namespace: &str) {
        // It fails while the topics are already being moved.
        let unloaded = || async {
            let (status, _) = self.broker.admin().send(Method::PUT, &format!("namespaces/{namespace}/unload"), None).await?;
            status.is_success().then_some(())
        };
        eventually(BOOT_DEADLINE, format!("{namespace} to be unloaded"), unloaded).await;
    }

    /// Unloads the topics of a namespace until the second broker owns the one with this path, `persistent/TENANT/NAMESPACE/TOPIC`.
    pub async fn move_to_second(&self, namespace: &str, topic: &str) {
        let url = format!("pulsar://127.0.0.1:{}", self.nodes[1].port);
        let moved = || async {
            let owner = self.broker.admin().owner(topic).await?;
            if owner == url {
                return Some(());
            }
            self.unload(namespace).await;
            None
        };
        eventually(BOOT_DEADLINE, format!("{topic} to be on the second broker"), moved).await;
    }

    /// Kills the second broker without warning, as `kill -9` does, and waits until it is gone.
    pub async fn kill_second(&self) {
        self.nodes[1].process.kill().await;
    }

    /// Restarts the second broker, with its ports.
    ///
    /// # Panics
    /// If it is running, ends or does not answer by its deadline.
    pub async fn start_second_again(&self) {
        let node = &self.nodes[1];
        assert!(node.process.pid().is_none(), "it still runs");
        let are_free = || async { [node.port, node.admin_port].into_iter().all(is_free).then_some(()) };
        eventually(BOOT_DEADLINE, "its ports to be free", are_free).await;
        node.process.begin();
        node.booted().await;
    }
}

impl Node {
    fn of(root: &Path, zookeeper_port: u16) -> Self {
        let (port, admin_port, folder) = (free_port(), free_port(), folder("broker"));
        let file = folder.join("broker.conf");
        fs::write(&file, settings(port, admin_port, zookeeper_port)).unwrap();
        let mut command = java(root, "256m", &[], "org.apache.pulsar.PulsarBrokerStarter");
        command.extend(["--broker-conf".into(), file.into()]);
        let admin = Admin::at(&format!("http://127.0.0.1:{admin_port}"), None);
        Node { port, admin, admin_port, process: Process::of(&folder, command) }
    }

    async fn booted(&self) {
        let is_healthy = || async {
            let health = self.admin.send(Method::GET, "brokers/health", None).await;
            health.is_some_and(|(status, _)| status.is_success())
        };
        self.process.booted(is_healthy).await.unwrap_or_else(|reason| panic!("{reason}"));
    }
}

fn folder(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(&format!("weir-pulsar-{name}-")).tempdir().unwrap().keep()
}

async fn zookeeper(root: &Path, port: u16) -> Process {
    let folder = folder("zookeeper");
    let mut command =
        java(root, "128m", &["-Dzookeeper.admin.enableServer=false".to_owned()], "org.apache.zookeeper.server.ZooKeeperServerMain");
    command.extend([port.to_string().into(), folder.join("data").into()]);
    let process = Process::of(&folder, command);
    process.begin();
    let answers = || async { TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    process.booted(answers).await.unwrap_or_else(|reason| panic!("{reason}"));
    process
}

/// Writes what brokers and bookies expect in ZooKeeper when they start.
async fn set_up(root: &Path, zookeeper_port: u16, first: &Node) {
    let mut command = java(root, "128m", &[], "org.apache.pulsar.PulsarClusterMetadataSetup");
    let store = format!("zk:127.0.0.1:{zookeeper_port}");
    let options = [
        ("--cluster", "weir".to_owned()),
        ("--metadata-store", store.clone()),
        ("--configuration-metadata-store", store),
        ("--web-service-url", first.admin.url().to_owned()),
        ("--broker-service-url", format!("pulsar://127.0.0.1:{}", first.port)),
        ("--initial-num-transaction-coordinators", "1".to_owned()),
        ("--initial-num-stream-storage-containers", "1".to_owned()),
    ];
    command.extend(options.into_iter().flat_map(|(name, value)| [OsString::from(name), value.into()]));
    let process = Process::of(&folder("setup"), command);
    process.begin();
    let done = || async { process.log().contains("setup correctly").then_some(()) };
    eventually(BOOT_DEADLINE, "the metadata of the cluster", done).await;
}

fn bookie(root: &Path, zookeeper_port: u16) -> Process {
    let folder = folder("bookie");
    let (port, data, file) = (free_port(), folder.display(), folder.join("bookkeeper.conf"));
    let text = format!(
        "bookiePort={port}\nadvertisedAddress=127.0.0.1\nallowLoopback=true\nlisteningInterface=lo\njournalDirectory={data}/journal\n\
         ledgerDirectories={data}/ledgers\nmetadataServiceUri=zk+hierarchical://127.0.0.1:{zookeeper_port}/ledgers\nhttpServerEnabled=false\n\
         autoRecoveryDaemonEnabled=false\ndiskUsageThreshold=0.99\ndiskUsageWarnThreshold=0.98\njournalMaxGroupWaitMSec=1\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = java(root, "256m", &[], "org.apache.bookkeeper.server.Main");
    command.extend(["--conf".into(), file.into()]);
    let process = Process::of(&folder, command);
    process.begin();
    process
}

/// A node's session expires after some seconds, so that its topics are taken over soon.
fn settings(port: u16, admin_port: u16, zookeeper_port: u16) -> String {
    format!(
        "clusterName=weir\nmetadataStoreUrl=zk:127.0.0.1:{zookeeper_port}\nconfigurationMetadataStoreUrl=zk:127.0.0.1:{zookeeper_port}\n\
         brokerServicePort={port}\nwebServicePort={admin_port}\nbindAddress=127.0.0.1\nadvertisedAddress=127.0.0.1\n\
         managedLedgerDefaultEnsembleSize=1\nmanagedLedgerDefaultWriteQuorum=1\nmanagedLedgerDefaultAckQuorum=1\n\
         allowAutoTopicCreation=false\nallowAutoSubscriptionCreation=false\nbrokerDeleteInactiveTopicsEnabled=false\n\
         keepAliveIntervalSeconds=10\nbrokerShutdownTimeoutMs=1000\nmetadataStoreSessionTimeoutMillis=6000\n\
         loadBalancerAutoBundleSplitEnabled=false\nloadBalancerSheddingEnabled=false\nbacklogQuotaCheckIntervalInSeconds=1\n"
    )
}
