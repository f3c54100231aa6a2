//! The machines that a document names, all of which are this one: a RabbitMQ node, and a loopback address for the gateway.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rand::RngExt;
use rustix::process::{Pid, Signal, kill_process};
use weir_tests::rabbitmq::Node;
use weir_tests::wait::{DEADLINE, eventually};

/// The broker's address in documents.
const BROKER: &str = "rabbit.example:5672";
/// The name of the gateway's machine in documents.
const GATEWAY: &str = "gateway.example";

/// The machines, and the processes that the document has started on them.
pub(super) struct Machines {
    node: Node,
    /// An address of this machine that nothing else on it uses, so that the ports in a document are free.
    gateway: Ipv4Addr,
    processes: Vec<Process>,
}

/// A process that a document has started and not ended yet.
struct Process {
    command: String,
    child: Child,
    output: PathBuf,
}

impl Machines {
    pub(super) async fn new() -> Self {
        let part = || rand::rng().random_range(1..255);
        Machines { node: Node::start().await, gateway: Ipv4Addr::new(127, part(), part(), part()), processes: Vec::new() }
    }

    /// A text of the document with the names of this machine.
    pub(super) fn here(&self, text: &str) -> String {
        let gateway = self.gateway.to_string();
        let text = text.replace(&format!("DNS:{GATEWAY}"), &format!("IP:{gateway}"));
        text.replace(BROKER, &self.node.address()).replace(GATEWAY, &gateway).replace("0.0.0.0", &gateway)
    }

    /// Runs `rabbitmqctl` with the arguments of a command, parsed as by a shell.
    pub(super) async fn ctl(&self, command: &str) {
        let split = Command::new("sh").args(["-c", &format!("set -- {command}; printf '%s\\0' \"$@\"")]).output().unwrap();
        let words = String::from_utf8(split.stdout).unwrap();
        let words: Vec<&str> = words.split_terminator('\0').skip(1).collect();
        self.node.ctl(&words).await;
    }

    /// Starts a command that runs in its own terminal, and returns its output once `is_enough` holds for it.
    pub(super) async fn start(&mut self, mut shell: Command, command: &str, is_enough: impl Fn(&str) -> bool) -> String {
        let output = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        let file = File::create(&output).unwrap();
        let child = shell.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        self.processes.push(Process { command: command.to_owned(), child, output });
        let process = self.processes.last_mut().unwrap();
        eventually(DEADLINE, format!("`{command}` to say what the document shows"), || {
            let said = process.said();
            let is_over = process.child.try_wait().unwrap().is_some();
            assert!(!is_over || is_enough(&said), "$ {command}\nended, and said:\n{said}");
            let is_done = is_enough(&said);
            async move { is_done.then_some(said) }
        })
        .await
    }

    /// Ends the processes still running, as Ctrl-C does. The document has ended the others.
    pub(super) async fn end(mut self) {
        for process in self.processes.iter_mut().rev() {
            if process.child.try_wait().unwrap().is_some() {
                continue;
            }
            kill_process(Pid::from_child(&process.child), Signal::INT).unwrap();
            let ended = eventually(DEADLINE, format!("`{}` to end", process.command), || {
                let ended = process.child.try_wait().unwrap();
                async move { ended }
            });
            let code = ended.await.code();
            assert_eq!(code, Some(0), "$ {}\n{}", process.command, process.said());
        }
    }
}

impl Process {
    fn said(&self) -> String {
        read(&self.output)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has already ended if the document or its test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what `{}` said ---\n{}---", self.command, self.said());
        }
        let _ = fs::remove_file(&self.output);
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
