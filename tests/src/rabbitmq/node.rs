//! A node for a single test, which may kill, stop, pause and configure it.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::setup::Ports;
use super::{Broker, Setup, Version};
use crate::process::{children, descendant, is_running};
use crate::wait::{DEADLINE, eventually};

/// Starting takes 4 s on a quiet machine.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// Other programs may take a port between choosing it and using it.
const ATTEMPTS: u32 = 3;

/// A RabbitMQ node with its own ports and folders, and the management plugin. It is a [`Broker`].
///
/// Dropping it, or any end of the test process, ends its processes and removes its folder. If the test failed, the end of its log is
/// printed.
#[derive(Debug)]
pub struct Node {
    broker: Broker,
    setup: Setup,
    name: String,
    ports: Ports,
    folder: PathBuf,
    root: PathBuf,
    supervisor: Child,
    /// Closing it ends the node.
    line: Mutex<Option<ChildStdin>>,
}

impl Deref for Node {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Node {
    /// The memory limit of all nodes, as a fraction of the machine's memory.
    pub(super) const MEMORY_LIMIT: &str = "0.6";

    /// Starts a node of [`Version::tested`] and waits until clients can use it: about 5 s.
    ///
    /// # Panics
    /// If it cannot be installed, ends, or does not answer by its deadline; its output is then printed.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    pub(super) async fn start_with(setup: Setup) -> Self {
        let version = setup.of();
        let root = tokio::task::spawn_blocking(move || version.installed()).await.unwrap();
        let mut attempt = 1;
        loop {
            let node = Node::launch(setup.clone(), root.clone());
            match node.booted().await {
                Ok(()) => return node,
                Err(reason) if attempt == ATTEMPTS || !reason.contains("eaddrinuse") => panic!("{reason}"),
                Err(_) => attempt += 1,
            }
        }
    }

    fn launch(setup: Setup, root: PathBuf) -> Self {
        let ports = setup.ports();
        let name = format!("weir{}@localhost", ports.amqp);
        let folder = tempfile::Builder::new().prefix("weir-rabbitmq-").tempdir().unwrap().keep();
        setup.write(&folder, ports);
        let output = File::options().create(true).append(true).open(folder.join("output.log")).unwrap();
        let mut command = Command::new(supervise());
        // Outside of the terminal's process group: Ctrl-C in the terminal ends the test, and this cleans up.
        std::os::unix::process::CommandExt::process_group(setup.environ(&mut command, &name, ports), 0);
        command.arg(&folder).args(setup.enter(&root, &folder)).arg("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut supervisor = command.spawn().unwrap();
        let line = Mutex::new(supervisor.stdin.take());
        let broker = Broker::on_loopback(ports.amqp, ports.management);
        let node = Node { broker, setup, name, ports, folder, root, supervisor, line };
        node.begin();
        node
    }

    fn begin(&self) {
        self.line.lock().unwrap().as_mut().expect("it is open until drop").write_all(b"start\n").unwrap();
    }

    /// Waits until clients can use it; the error if it ends or takes too long.
    async fn booted(&self) -> Result<(), String> {
        let begun = eventually(DEADLINE, "the node's processes", || async { self.unshare() });
        let namespace = begun.await;
        let answers = async {
            eventually(BOOT_DEADLINE, "the node to end or to answer", || async {
                if !is_running(namespace) {
                    return Some(false);
                }
                (self.greets().await && self.manages().await).then_some(true)
            })
            .await
        };
        match answers.await {
            true => Ok(()),
            false => Err(format!("RabbitMQ {} ended while it started:\n{}", self.version().name(), self.log())),
        }
    }

    /// Whether it answers the AMQP protocol header with its first frame.
    async fn greets(&self) -> bool {
        let greeting = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(b"AMQP\0\0\x09\x01").await?;
            stream.read_u8().await
        };
        matches!(tokio::time::timeout(DEADLINE, greeting).await, Ok(Ok(1)))
    }

    async fn manages(&self) -> bool {
        self.management().send(Method::GET, "overview", None).await.is_some_and(|(status, _)| status.is_success())
    }

    /// The `unshare` process of the node's namespace: it ends when all processes in it are gone.
    fn unshare(&self) -> Option<u32> {
        children(self.supervisor.id()).into_iter().find(|pid| is_running(*pid))
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    /// Forms a cluster with another node that it was started [beside](Setup::beside), and waits until clients can use it again.
    ///
    /// # Panics
    /// If it cannot join, or does not answer by its deadline.
    pub async fn join(&self, other: &Node) {
        self.ctl(&["stop_app"]).await;
        self.ctl(&["join_cluster", other.name()]).await;
        self.ctl(&["start_app"]).await;
        self.booted().await.unwrap_or_else(|reason| panic!("{reason}"));
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.setup.of()
    }

    /// Its name, `NAME@localhost`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder with its configuration, messages and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id of the broker itself; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        descendant(self.supervisor.id(), "beam.smp")
    }

    /// Its output and log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let logs = fs::read_dir(self.folder.join("log")).into_iter().flatten().flatten().map(|entry| entry.path());
        let all = logs.chain([self.folder.join("output.log")]);
        all.filter_map(|path| fs::read(path).ok()).map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
    }

    /// Runs `rabbitmqctl` against it: takes about 0.5 s, usually slower than [`Broker::management`].
    ///
    /// # Panics
    /// If it fails, with its output.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.try_ctl(arguments).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "rabbitmqctl {}: {}\n{out}{err}", arguments.join(" "), output.status);
        out.into_owned()
    }

    /// As [`Node::ctl`]; it may fail.
    ///
    /// # Panics
    /// If it cannot be run.
    pub async fn try_ctl(&self, arguments: &[&str]) -> Output {
        let enter = self.setup.enter(&self.root, &self.folder);
        let mut command = Command::new(&enter[0]);
        self.setup.environ(&mut command, &self.name, self.ports);
        command.args(&enter[1..]).arg("/usr/lib/rabbitmq/bin/rabbitmqctl").args(arguments).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Writes declared queues, exchanges, bindings and vhosts to its disk. Before 4.3 they stay in memory for some seconds after the broker
    /// has confirmed them, and a [`Node::kill`] loses them; confirmed messages are not affected.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn keep_declarations(&self) {
        self.ctl(&["eval", "case erlang:whereis(mnesia_tm) of undefined -> ok; _ -> mnesia:dump_log() end."]).await;
    }

    /// Kills it without warning, as `kill -9` does, and waits until all its processes are gone.
    ///
    /// # Panics
    /// If it is not running.
    pub async fn kill(&self) {
        self.end_by(Signal::KILL).await;
    }

    /// Requests its end, as a service manager does, and waits until all its processes are gone.
    ///
    /// # Panics
    /// If it is not running, or has not ended by the deadline.
    pub async fn terminate(&self) {
        self.end_by(Signal::TERM).await;
    }

    async fn end_by(&self, signal: Signal) {
        let namespace = self.unshare().expect("the node runs");
        self.signal(signal);
        eventually(BOOT_DEADLINE, "the node to end", || async { (!is_running(namespace)).then_some(()) }).await;
    }

    /// Restarts it after [`Node::kill`] or [`Node::terminate`], with its ports and data, and waits until clients can use it. If another
    /// process has taken one of its ports meanwhile, it waits until that is free.
    ///
    /// # Panics
    /// If it is running, ends or does not answer by its deadline.
    pub async fn start_again(&self) {
        assert!(self.unshare().is_none(), "the node still runs");
        let mut attempt = 1;
        loop {
            eventually(BOOT_DEADLINE, "the node's ports to be free", || async { self.ports.are_free().then_some(()) }).await;
            self.begin();
            match self.booted().await {
                Ok(()) => return,
                Err(reason) if attempt == ATTEMPTS || !reason.contains("eaddrinuse") => panic!("{reason}"),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Stops its process until [`Node::resume`]: its connections stay open and nothing answers.
    ///
    /// # Panics
    /// If it is not running.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes it after [`Node::pause`].
    ///
    /// # Panics
    /// If it is not running.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().expect("the node runs");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Raises the memory alarm, so that it reads nothing from connections that publish, and waits until it is raised.
    ///
    /// # Panics
    /// If it is not raised by the deadline.
    pub async fn raise_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.0001"]).await;
        self.alarms(reqwest::StatusCode::SERVICE_UNAVAILABLE).await;
    }

    /// Clears the memory alarm, and waits until it is cleared.
    ///
    /// # Panics
    /// If it is not cleared by the deadline.
    pub async fn end_memory_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", Self::MEMORY_LIMIT]).await;
        self.alarms(reqwest::StatusCode::OK).await;
    }

    /// Waits for this answer of the alarm check.
    async fn alarms(&self, wanted: reqwest::StatusCode) {
        eventually(DEADLINE, format!("the check for alarms to answer {wanted}"), || async {
            let (status, _) = self.management().send(Method::GET, "health/checks/local-alarms", None).await?;
            (status == wanted).then_some(())
        })
        .await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4 << 10);
            eprintln!("--- the end of the log of RabbitMQ {} ---\n{}---", self.name, &log[log.ceil_char_boundary(from)..]);
        }
        self.line.lock().unwrap().take();
        let _ = self.supervisor.wait();
    }
}

/// The program that cleans up after this process: cargo builds it beside the tests.
fn supervise() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    folder.join("supervise")
}
