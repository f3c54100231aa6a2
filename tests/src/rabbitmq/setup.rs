//! How a node is set up: its version, configuration and ports, and the environment of its programs.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Node, Version};
use crate::ports::{free_port, is_free};

/// Makes the programs of the node listen on loopback only.
const LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
/// Runs a command in the node's root folder `$0`, with the node's folder `$1` mounted in it, visible to this command only.
const ENTER: &str = r#"mount --bind "$1" "$0/node" && mount -t proc proc "$0/proc" && shift && exec chroot "$0" "$@""#;

/// How a node is set up. Everything not set here has RabbitMQ's default.
#[derive(Clone, Debug)]
pub struct Setup {
    version: Version,
    lines: String,
    arguments: String,
    files: Vec<(&'static str, String)>,
    /// The port of the name server of another node.
    epmd: Option<u16>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { version: Version::tested(), lines: String::new(), arguments: String::new(), files: Vec::new(), epmd: None }
    }
}

impl Setup {
    /// Another version than that of the test run.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Adds a line of `rabbitmq.conf`, for example `max_message_size = 1048576`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.lines, "{line}").expect("a String takes everything");
        self
    }

    /// Adds a file to the node's folder, which the node sees as `/node`.
    #[must_use]
    pub fn file(mut self, name: &'static str, text: String) -> Self {
        self.files.push((name, text));
        self
    }

    /// Refuses queues that are neither durable nor exclusive, as RabbitMQ does by default from 4.3. Requires 4.0 or later.
    #[must_use]
    pub fn deny_transient_queues(self) -> Self {
        self.line("deprecated_features.permit.transient_nonexcl_queues = false")
    }

    /// Starts beside another node, so that it can [join](Node::join) that one. It must not outlive the other, which runs the name server of
    /// both.
    #[must_use]
    pub fn beside(mut self, node: &Node) -> Self {
        self.epmd = Some(node.ports().epmd);
        self
    }

    /// How long a consumer may keep a message unacknowledged; channels then check it every second instead of every minute.
    #[must_use]
    pub fn consumer_timeout(mut self, timeout: Duration) -> Self {
        self.arguments.push_str(" -rabbit channel_tick_interval 1000");
        self.line(&format!("consumer_timeout = {}", timeout.as_millis()))
    }

    /// Starts a node with this setup.
    ///
    /// # Panics
    /// As [`Node::start`].
    pub async fn start(self) -> Node {
        Node::start_with(self).await
    }

    /// Ports that are free now, except for that of an existing name server.
    pub(super) fn ports(&self) -> Ports {
        let free = Ports::free();
        Ports { epmd: self.epmd.unwrap_or(free.epmd), ..free }
    }

    pub(super) fn of(&self) -> Version {
        self.version
    }

    /// Writes what a node reads at its start into its folder.
    pub(super) fn write(&self, folder: &Path, ports: Ports) {
        let cookie = folder.join(".erlang.cookie");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&cookie).unwrap();
        file.write_all(b"weir-test").unwrap();
        fs::set_permissions(cookie, Permissions::from_mode(0o400)).unwrap();
        for (name, text) in &self.files {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].\n").unwrap();
        let Ports { amqp, management, .. } = ports;
        let lines = format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             disk_free_limit.absolute = 100MB\nvm_memory_high_watermark.relative = {}\ncollect_statistics_interval = 1000\n{}",
            Node::MEMORY_LIMIT,
            self.lines
        );
        fs::write(folder.join("rabbitmq.conf"), lines).unwrap();
    }

    /// The program that runs others in the node's folders and in their own PID namespace: they end together. It ends with the process that
    /// starts it.
    pub(super) fn enter(&self, root: &Path, folder: &Path) -> Vec<std::ffi::OsString> {
        let words = "setpriv --pdeathsig KILL unshare --fork --pid --kill-child --mount sh -c";
        let words = words.split(' ').map(Into::into).chain([ENTER.into()]);
        words.chain([root.into(), folder.into()]).collect()
    }

    /// The environment of the node's programs.
    pub(super) fn environ<'c>(&self, command: &'c mut Command, name: &str, ports: Ports) -> &'c mut Command {
        command.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LANG", "C.UTF-8"),
            ("HOME", "/node"),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ("RABBITMQ_CTL_ERL_ARGS", LOOPBACK),
            ("RABBITMQ_CONFIG_FILE", "/node/rabbitmq.conf"),
            ("RABBITMQ_MNESIA_BASE", "/node/db"),
            ("RABBITMQ_LOG_BASE", "/node/log"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "/node/enabled_plugins"),
            ("RABBITMQ_NODENAME", name),
        ]);
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("{LOOPBACK}{}", self.arguments));
        command.env("RABBITMQ_DIST_PORT", ports.distribution.to_string()).env("ERL_EPMD_PORT", ports.epmd.to_string())
    }
}

/// The ports of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    distribution: u16,
    epmd: u16,
}

impl Ports {
    /// Four ports that are free now and stay free while their node is down: see [`free_port`].
    pub(super) fn free() -> Self {
        Ports { amqp: free_port(), management: free_port(), distribution: free_port(), epmd: free_port() }
    }

    /// Whether none of them was taken while the node was down. The epmd port is shared by the nodes of a cluster.
    pub(super) fn are_free(self) -> bool {
        [self.amqp, self.management, self.distribution].into_iter().all(is_free)
    }
}
