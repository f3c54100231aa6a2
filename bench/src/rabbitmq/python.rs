//! The echo processor of TrustGraph that the tests have, under Weir's services on the same broker.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use reqwest::Url;

use super::Whole;
use super::client::Client;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop/echo.py");
const INPUT: &str = "tg.flow.in:python.pyecho--python--input";
const OUTPUT: &str = "tg.flow.out:python.gateway--python--out";
const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"pyecho:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "parameters": {"mark": ""}}},
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;

impl Whole {
    /// The rate of the processor from its first message to its last.
    pub(super) async fn python_run(&self, client: &Client, url: &str, python: &Path, messages: u32) -> anyhow::Result<f64> {
        self.flows.put_blueprint("python", BLUEPRINT).await?;
        self.flows.start_flow(Self::flow("python", "python")).await?;
        client.preload(INPUT, messages).await?;
        let processor = Running(command(url, python)?.spawn().context("the processor does not start")?);
        let rate = client.filled(OUTPUT, messages).await?;
        drop(processor);
        self.flows.stop_flow("python").await?;
        Ok(rate)
    }
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It finds the broker as TrustGraph's programs do: by the environment.
fn command(url: &str, python: &Path) -> anyhow::Result<Command> {
    let url: Url = url.parse().context("--url")?;
    let vhost = match url.path().trim_start_matches('/') {
        "" | "%2F" | "%2f" => "/",
        name => name,
    };
    let mut command = Command::new(python);
    command.arg(SCRIPT).args(["--id", "pyecho", "--no-metrics", "--no-loki-enabled"]).env("PUBSUB_BACKEND", "rabbitmq");
    command.env("RABBITMQ_HOST", url.host_str().unwrap_or("localhost")).env("RABBITMQ_PORT", url.port().unwrap_or(5672).to_string());
    command
        .env("RABBITMQ_VHOST", vhost)
        .env("RABBITMQ_USERNAME", url.username())
        .env("RABBITMQ_PASSWORD", url.password().unwrap_or("guest"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
