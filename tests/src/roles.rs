//! The roles of a Weir, each in its own process `weir run ROLE`, on one broker.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;

use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::{DEADLINE, eventually};
use crate::weir::{Weir, command};

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The config service.
    Config,
    /// The flow service.
    Flow,
    /// A host of processors.
    Host,
    /// A gateway.
    Gateway,
}

impl Role {
    /// All of them, in the order of their dependencies.
    pub const ALL: [Role; 4] = [Role::Config, Role::Flow, Role::Host, Role::Gateway];

    /// As named on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Config => "config",
            Role::Flow => "flow",
            Role::Host => "host",
            Role::Gateway => "gateway",
        }
    }
}

/// The name of the gateway whose URL all hosts get.
const GATEWAY: &str = "gateway";
/// The port of the first gateway; each further one has the next.
const FIRST_GATEWAY_PORT: u16 = 9_088;

/// A broker, and a folder with a data folder for each process, by its name.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    /// The environment that names the broker.
    environment: Vec<(&'static str, String)>,
    /// The address on which gateways listen: one of this machine that nothing else on it uses, so that their ports are free whenever they
    /// are restarted.
    address: Ipv4Addr,
    /// The names of the gateways in the order of their ports. Hosts can be given the URL of the first one before it runs.
    gateways: Mutex<Vec<String>>,
}

impl Site {
    /// On the broker with this URL, which processes get through their environment.
    ///
    /// # Panics
    /// As [`Site::with`].
    #[must_use]
    pub fn on(broker: &str) -> Self {
        Site::with([("WEIR_BROKER_URL", broker.to_owned())])
    }

    /// With an environment that names the broker and contains anything else that all processes need.
    ///
    /// # Panics
    /// If there is no folder for temporary files.
    #[must_use]
    pub fn with(environment: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let environment = environment.into_iter().collect();
        let address = Ipv4Addr::new(127, part(), part(), part());
        Site { folder: tempfile::tempdir().unwrap(), environment, address, gateways: Mutex::new(vec![GATEWAY.to_owned()]) }
    }

    /// Keeps the folder with all data folders after the end of the test; returns its path.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// The address of the gateway with this name, whether it runs or not.
    ///
    /// # Panics
    /// If a thread that requested one panicked.
    #[must_use]
    pub fn gateway_address(&self, name: &str) -> SocketAddr {
        let mut names = self.gateways.lock().unwrap();
        let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        SocketAddr::from((self.address, FIRST_GATEWAY_PORT + u16::try_from(at).unwrap()))
    }

    /// The data folder of a process.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that runs a role on the data folder with this name, with its output in a file there. Nothing is started yet.
    ///
    /// # Panics
    /// If the data folder cannot be created.
    #[must_use]
    pub fn command(&self, role: Role, name: &str, arguments: &[&str]) -> Command {
        let data = self.data(name);
        fs::create_dir_all(&data).unwrap();
        let mut command = command(&data, &["run", role.word()]);
        if role == Role::Gateway {
            command.args(["--listen", &self.gateway_address(name).to_string()]);
        }
        if role == Role::Host {
            command.env("WEIR_GATEWAY", format!("http://{}", self.gateway_address(GATEWAY)));
        }
        let output = File::options().create(true).append(true).open(log(&data)).unwrap();
        command.args(arguments).envs(self.environment.clone()).stdout(output.try_clone().unwrap()).stderr(output);
        command
    }

    /// Starts a process without waiting for anything.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn begin(&self, role: Role, name: &str, arguments: &[&str]) -> Process {
        self.run(role, name, self.command(role, name, arguments))
    }

    /// Starts a command of [`Site::command`] without waiting for anything.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn run(&self, role: Role, name: &str, mut command: Command) -> Process {
        let data = self.data(name);
        let said_before_bytes = fs::metadata(log(&data)).map_or(0, |found| found.len() as usize);
        Process { role, said_before_bytes, child: command.spawn().unwrap(), data }
    }

    /// Starts a process and waits until it is active or on standby.
    ///
    /// # Panics
    /// If it ends or is not ready by the deadline.
    pub async fn start(&self, role: Role, name: &str, arguments: &[&str]) -> Process {
        let mut process = self.begin(role, name, arguments);
        process.says(&format!(" is running the {}", Process::title(role))).await;
        process
    }

    /// Starts a gateway and waits until it answers, whatever else is running. Commands of the command line are run against it.
    ///
    /// # Panics
    /// If it ends or does not answer by the deadline.
    pub async fn gateway(&self, name: &str, arguments: &[&str]) -> Weir {
        Weir::up_as(&self.data(name), self.command(Role::Gateway, name, arguments)).await
    }
}

/// A running `weir run ROLE`. Dropping it kills the process and, if the test failed, prints its output.
#[derive(Debug)]
pub struct Process {
    role: Role,
    data: PathBuf,
    /// The output of earlier processes on its data folder.
    said_before_bytes: usize,
    child: Child,
}

impl Process {
    fn title(role: Role) -> &'static str {
        match role {
            Role::Config => "config service",
            Role::Flow => "flow service",
            Role::Host => "host of processors",
            Role::Gateway => "gateway",
        }
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has exited.
    ///
    /// # Panics
    /// Never for a process that was started.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its output so far.
    #[must_use]
    pub fn said(&self) -> String {
        let all = fs::read(log(&self.data)).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.said_before_bytes..).unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed a text.
    ///
    /// # Panics
    /// If it ends, or has not printed it by the deadline.
    pub async fn says(&mut self, text: &str) {
        eventually(DEADLINE, format!("weir run {} to print `{text}`", self.role.word()), || {
            let ended = self.child.try_wait().unwrap();
            let said = self.said();
            assert!(ended.is_none() || said.contains(text), "weir run {} ended: {}", self.role.word(), ended.unwrap());
            async move { said.contains(text).then_some(()) }
        })
        .await;
    }

    /// Kills it without warning, as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it until [`Process::resume`]: its connections stay open, and it makes no progress.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes it after [`Process::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Requests its end, as a service manager does, and waits for it.
    ///
    /// # Panics
    /// If it has not ended by the deadline.
    pub async fn end(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits until it exits.
    ///
    /// # Panics
    /// If it has not ended by the deadline.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually(DEADLINE, format!("weir run {} to end", self.role.word()), || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has already ended if the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what weir run {} ({}) said ---\n{}---", self.role.word(), self.data.display(), self.said());
        }
    }
}

/// One byte of an address.
fn part() -> u8 {
    rand::rng().random_range(1..255)
}

/// [`Weir`] uses the same path.
fn log(data: &Path) -> PathBuf {
    data.join("test.log")
}
