//! A node for a single test, which may kill and stop it.

use std::ffi::OsString;
use std::fs;
use std::ops::Deref;
use std::path::Path;

use reqwest::Method;

use super::broker::{ADMIN_TOKEN, KEY, Role};
use super::process::{BOOT_DEADLINE, Process, java};
use super::{Broker, install};
use crate::ports::{free_port, is_free};
use crate::wait::eventually;

/// Other programs may take a port between choosing it and using it.
const ATTEMPTS: u32 = 3;

/// A standalone Pulsar with its own ports and folders, tokens, and limited memory. It is a [`Broker`].
///
/// Dropping it, or any end of the test process, ends its process and removes its folder. If the test failed, the end of its log is printed.
#[derive(Debug)]
pub struct Node {
    broker: Broker,
    ports: [u16; 2],
    process: Process,
}

/// The additional settings of a node.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    lines: String,
    files: Vec<(String, String)>,
    java_options: Vec<String>,
}

impl Setup {
    /// Adds a line of `broker.conf`, which takes precedence over an earlier one. `FOLDER` in it is the folder of the node.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// Adds a file to its folder.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Adds an option of Java, which takes precedence over an earlier one.
    #[must_use]
    pub fn java_option(mut self, option: String) -> Self {
        self.java_options.push(option);
        self
    }

    /// Starts a node as [`Node::start`] does.
    ///
    /// # Panics
    /// As [`Node::start`].
    pub async fn start(self) -> Node {
        Node::start_as(&self).await
    }
}

impl Deref for Node {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Node {
    /// Starts a node and waits until clients can use it.
    ///
    /// # Panics
    /// If it cannot be installed, ends, or does not answer by its deadline; its output is then printed.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    async fn start_as(setup: &Setup) -> Self {
        let root = tokio::task::spawn_blocking(install::installed).await.unwrap();
        let mut attempt = 1;
        loop {
            let node = Node::launch(&root, setup);
            match node.booted().await {
                Ok(()) => return node,
                Err(reason) if attempt == ATTEMPTS || !reason.contains("Address already in use") => panic!("{reason}"),
                Err(_) => attempt += 1,
            }
        }
    }

    fn launch(root: &Path, setup: &Setup) -> Self {
        let ports = [free_port(), free_port()];
        let folder = tempfile::Builder::new().prefix("weir-pulsar-").tempdir().unwrap().keep();
        let lines = setup.lines.replace("FOLDER", folder.to_str().unwrap());
        fs::write(folder.join("standalone.conf"), settings(ports) + &lines).unwrap();
        for (name, text) in &setup.files {
            fs::write(folder.join(name), text).unwrap();
        }
        for (role, token) in Role::ALL {
            fs::write(folder.join(role.file()), token).unwrap();
        }
        let process = Process::of(&folder, command(root, &folder, &setup.java_options));
        process.begin();
        Node { broker: Broker::on_loopback(ports[0], ports[1], folder), ports, process }
    }

    /// Waits until clients can use it; the error if it ends or takes too long.
    async fn booted(&self) -> Result<(), String> {
        let succeeds = async |path| self.admin().send(Method::GET, path, None).await.is_some_and(|(status, _)| status.is_success());
        // A new node creates its cluster, tenant and namespace after it is healthy.
        let is_ready = || async { succeeds("namespaces/public/default").await && succeeds("brokers/health").await };
        self.process.booted(is_ready).await
    }

    /// Its folder, with data, tokens and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// The process id of the broker; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Its output and log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// If it is not running.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Requests its end, as a service manager does, and waits until it is gone; it is killed if that takes too long, also as service
    /// managers do.
    ///
    /// # Panics
    /// If it is not running.
    pub async fn terminate(&self) {
        self.process.terminate().await;
    }

    /// Restarts it after [`Node::kill`] or [`Node::terminate`], with its ports and data, and waits until clients can use it.
    ///
    /// # Panics
    /// If it is running, ends or does not answer by its deadline.
    pub async fn start_again(&self) {
        assert!(self.pid().is_none(), "the node still runs");
        eventually(BOOT_DEADLINE, "the node's ports to be free", || async { self.ports.into_iter().all(is_free).then_some(()) }).await;
        self.process.begin();
        self.booted().await.unwrap_or_else(|reason| panic!("{reason}"));
    }
}

fn command(root: &Path, folder: &Path, options: &[String]) -> Vec<OsString> {
    let mut command = java(root, "384m", options, "org.apache.pulsar.PulsarStandaloneStarter");
    let of = |name: &str| folder.join(name).into_os_string();
    command.extend(["-nfw", "-nss", "-a", "127.0.0.1"].map(Into::into));
    command.extend([
        "-c".into(),
        of("standalone.conf"),
        "--metadata-dir".into(),
        of("metadata"),
        "--bookkeeper-dir".into(),
        of("bookkeeper"),
    ]);
    command
}

fn settings([port, admin_port]: [u16; 2]) -> String {
    format!(
        "clusterName=standalone\nbrokerServicePort={port}\nwebServicePort={admin_port}\nbindAddress=127.0.0.1\nadvertisedAddress=127.0.0.1\n\
         listeningInterface=lo\nallowLoopback=true\nmanagedLedgerDefaultEnsembleSize=1\nmanagedLedgerDefaultWriteQuorum=1\n\
         managedLedgerDefaultAckQuorum=1\nallowAutoTopicCreation=false\nallowAutoSubscriptionCreation=false\n\
         brokerDeleteInactiveTopicsEnabled=false\nkeepAliveIntervalSeconds=10\nloadBalancerEnabled=false\nbrokerShutdownTimeoutMs=1000\nbacklogQuotaCheckIntervalInSeconds=1\n\
         authenticationEnabled=true\nauthorizationEnabled=true\n\
         authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken\ntokenSecretKey=data:;base64,{KEY}\n\
         superUserRoles=admin\nbrokerClientAuthenticationPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken\n\
         brokerClientAuthenticationParameters=token:{ADMIN_TOKEN}\n"
    )
}
