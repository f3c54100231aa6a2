//! A node of a test's own, which the test may kill and stop.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};

use super::broker::{ADMIN_TOKEN, KEY, Role};
use super::{Broker, install};
use crate::ports::{free_port, is_free};
use crate::process::{children, is_running};
use crate::wait::eventually;

/// Starting takes 6 to 18 s on two shared cores.
const BOOT_DEADLINE: Duration = Duration::from_secs(180);
/// How long it may take to stop before it is killed: once it took minutes.
const STOP_TIME: Duration = Duration::from_secs(30);
/// Others may take a port between looking for it and using it.
const ATTEMPTS: u32 = 3;
const OPENED: [&str; 4] = [
    "java.base/sun.net=ALL-UNNAMED",
    "java.base/java.lang=ALL-UNNAMED",
    "java.management/sun.management=ALL-UNNAMED",
    "jdk.management/com.sun.management.internal=ALL-UNNAMED",
];

/// A standalone Pulsar with ports and folders of its own, tokens, and bounded memory. It is a [`Broker`].
///
/// Dropping it, and the end of the test process by whatever cause, end its process and remove its folder. If the test failed, the end of its log
/// is printed.
#[derive(Debug)]
pub struct Node {
    broker: Broker,
    ports: [u16; 2],
    folder: PathBuf,
    supervisor: Child,
    /// Closed, it ends the node.
    line: Mutex<Option<ChildStdin>>,
}

/// What a node has beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    lines: String,
    files: Vec<(String, String)>,
}

impl Setup {
    /// With a line of `broker.conf`, which counts in place of one before it. `FOLDER` in it is the folder of the node.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push('\n');
        self
    }

    /// With a file in its folder.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
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
    /// When it cannot be installed, ends, or does not answer by its deadline; its own words are printed then.
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
        let output = File::options().create(true).append(true).open(folder.join("output.log")).unwrap();
        let mut command = Command::new(supervise());
        // Away from the terminal's process group: a Ctrl-C there ends the test, and this cleans up.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.current_dir(&folder).arg(&folder).args(java(root, &folder));
        command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut supervisor = command.spawn().unwrap();
        let line = Mutex::new(supervisor.stdin.take());
        let broker = Broker::on_loopback(ports[0], ports[1], folder.clone());
        let node = Node { broker, ports, folder, supervisor, line };
        node.begin();
        node
    }

    fn begin(&self) {
        self.line.lock().unwrap().as_mut().expect("it is open until drop").write_all(b"start\n").unwrap();
    }

    /// Waits until clients can use it; why not, if it ends or takes too long.
    async fn booted(&self) -> Result<(), String> {
        let process = eventually(BOOT_DEADLINE, "the node's process", || async { self.pid() }).await;
        let answers = eventually(BOOT_DEADLINE, "the node to end or to answer", || async {
            if !is_running(process) {
                return Some(false);
            }
            let health = self.admin().send(Method::GET, "brokers/health", None).await;
            health.is_some_and(|(status, _)| status.is_success()).then_some(true)
        });
        if answers.await { Ok(()) } else { Err(format!("Pulsar ended while it started:\n{}", self.log())) }
    }

    /// Its folder, with data, tokens and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id of the broker; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        children(self.supervisor.id()).into_iter().find(|pid| is_running(*pid))
    }

    /// What it printed and logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.join("output.log")).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// When it is not running.
    pub async fn kill(&self) {
        let pid = self.signal(Signal::KILL);
        eventually(BOOT_DEADLINE, "the node to end", || async { (!is_running(pid)).then_some(()) }).await;
    }

    /// Asks it to end, as a service manager does, and waits until it is gone; as service managers do, it is killed where that takes too long.
    ///
    /// # Panics
    /// When it is not running.
    pub async fn terminate(&self) {
        let pid = self.signal(Signal::TERM);
        let ended = async {
            eventually(BOOT_DEADLINE, "the node to end", || async { (!is_running(pid)).then_some(()) }).await;
        };
        if tokio::time::timeout(STOP_TIME, ended).await.is_err() {
            println!("Pulsar did not stop within {} s and is killed", STOP_TIME.as_secs());
            self.kill().await;
        }
    }

    /// Starts it again after [`Node::kill`] or [`Node::terminate`], with its ports and data, and waits until clients can use it.
    ///
    /// # Panics
    /// When it runs, ends or does not answer by its deadline.
    pub async fn start_again(&self) {
        assert!(self.pid().is_none(), "the node still runs");
        eventually(BOOT_DEADLINE, "the node's ports to be free", || async { self.ports.into_iter().all(is_free).then_some(()) }).await;
        self.begin();
        self.booted().await.unwrap_or_else(|reason| panic!("{reason}"));
    }

    fn signal(&self, signal: Signal) -> u32 {
        let pid = self.pid().expect("the node runs");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
        pid
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4 << 10);
            eprintln!("--- the end of the log of Pulsar {} ---\n{}---", self.folder.display(), &log[log.ceil_char_boundary(from)..]);
        }
        self.line.lock().unwrap().take();
        let _ = self.supervisor.wait();
    }
}

/// What the broker is run with. It ends with the process that starts it.
fn java(root: &Path, folder: &Path) -> Vec<std::ffi::OsString> {
    let words = "setpriv --pdeathsig KILL java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:MaxDirectMemorySize=256m -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true";
    let mut command: Vec<std::ffi::OsString> = words.split(' ').map(Into::into).collect();
    for opened in OPENED {
        command.extend(["--add-opens".into(), opened.into()]);
    }
    command.extend(["-cp".into(), format!("{}/lib/*", root.display()).into(), "org.apache.pulsar.PulsarStandaloneStarter".into()]);
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

/// The program that cleans up behind this process: cargo builds it beside the tests.
fn supervise() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    folder.join("supervise")
}
