//! Programs of others on the broker of a test, in Python: the scripts of `tests/interop`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Url;
use serde_json::Value;
use weir_tests::pulsar;
use weir_tests::rabbitmq::{Broker, Vhost};
use weir_tests::wait::within;

use super::tools::python;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop");

/// A broker that TrustGraph's programs find through the environment.
pub(crate) trait Found {
    /// The variables that name it.
    fn environment(&self) -> Vec<(&'static str, String)>;
}

impl Found for Vhost {
    fn environment(&self) -> Vec<(&'static str, String)> {
        let url: Url = self.url().parse().unwrap();
        vec![
            ("PUBSUB_BACKEND", "rabbitmq".to_owned()),
            ("RABBITMQ_HOST", url.host_str().unwrap().to_owned()),
            ("RABBITMQ_PORT", url.port().unwrap_or(5672).to_string()),
            ("RABBITMQ_VHOST", self.name().to_owned()),
            ("RABBITMQ_USERNAME", url.username().to_owned()),
            ("RABBITMQ_PASSWORD", url.password().unwrap_or("guest").to_owned()),
        ]
    }
}

impl Found for pulsar::Broker {
    fn environment(&self) -> Vec<(&'static str, String)> {
        let token = self.token_file(pulsar::Role::Admin).map(|file| ("PULSAR_API_KEY", std::fs::read_to_string(file).unwrap()));
        [("PUBSUB_BACKEND", "pulsar".to_owned()), ("PULSAR_HOST", self.url())].into_iter().chain(token).collect()
    }
}

/// A script with its arguments.
pub(super) async fn script(broker: &impl Found, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(python().await);
    command.arg(Path::new(SCRIPTS).join(name)).args(arguments).stdin(Stdio::null()).envs(broker.environment());
    // The same encoding for all, and nothing written beside the sources.
    command.env("PYTHONIOENCODING", "utf-8").env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a script, which must succeed; returns its output.
pub(crate) async fn run(broker: &impl Found, name: &str, arguments: &[&str]) -> String {
    let mut command = script(broker, name, arguments).await;
    let output = within(name, tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Sends requests with TrustGraph's client of `config` or `flow`; returns the answers.
pub(super) async fn ask(broker: &impl Found, requests: &[(&str, Value)]) -> Vec<Value> {
    let texts: Vec<String> = requests.iter().map(|(_, request)| request.to_string()).collect();
    let arguments: Vec<&str> = requests.iter().zip(&texts).flat_map(|((kind, _), text)| [*kind, text.as_str()]).collect();
    let answers = run(broker, "client.py", &arguments).await;
    // Pulsar's client logs to the standard output.
    answers.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same with requests that must succeed.
pub(super) async fn must(broker: &impl Found, requests: &[(&str, Value)]) -> Vec<Value> {
    let answers = ask(broker, requests).await;
    for (answer, (_, request)) in answers.iter().zip(requests) {
        assert_eq!(answer["error"], Value::Null, "{request}");
    }
    answers
}

/// A script that runs until it is dropped, and its output.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a processor of TrustGraph.
    pub(super) async fn processor(broker: &impl Found, folder: &Path, id: &str) -> Self {
        Self::script(broker, folder, id, "echo.py", &["--id", id]).await
    }

    /// Starts TrustGraph's service `config` or `flow`.
    pub(super) async fn service(broker: &impl Found, folder: &Path, kind: &str) -> Self {
        Self::script(broker, folder, kind, "services.py", &[kind]).await
    }

    async fn script(broker: &impl Found, folder: &Path, log: &str, name: &str, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{log}.log"));
        let file = File::create(&log).unwrap();
        let mut command = script(broker, name, &[arguments, &["--no-metrics", "--no-loki-enabled"]].concat()).await;
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what {} said ---\n{}---", self.log.display(), self.said());
        }
    }
}

/// The queues of a virtual host, as the management API shows them.
pub(super) async fn queues(broker: &Broker, vhost: &Vhost) -> Vec<Value> {
    let queues = broker.management().get(&format!("queues/{}", vhost.name())).await;
    queues.as_array().unwrap().clone()
}

/// The names that contain a word.
pub(super) async fn names_with(broker: &Broker, vhost: &Vhost, word: &str) -> Vec<String> {
    let names = queues(broker, vhost).await.into_iter().map(|queue| queue["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.contains(word)).collect()
}
