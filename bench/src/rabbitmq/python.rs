//! The TrustGraph echo processor of the tests, under Weir's services on the same broker.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use reqwest::Url;
use weir_config::names::{exit_subscription, processor_subscription};
use weir_pubsub::Queue;

use super::client::Client;
use crate::network::{Ends, NetworkFixture};
use crate::opponent::Opponent;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop/echo.py");
const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"pyecho:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "parameters": {"mark": ""}}},
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;

/// The rate of the processor from its first message to its last.
pub(super) async fn run(fixture: &NetworkFixture, client: &Client, url: &str, python: &Path, messages: u32) -> anyhow::Result<f64> {
    fixture.flows.put_blueprint("python", BLUEPRINT).await?;
    fixture.flows.start_flow(NetworkFixture::start("python")).await?;
    let input = Queue::new("flow:tg:in:python".parse()?, processor_subscription("pyecho", "python", "input")?)?;
    client.preload(&input, messages).await?;
    let processor = Opponent::start(command(url, python)?)?;
    let output = Queue::new("flow:tg:out:python".parse()?, exit_subscription("python", "out")?)?;
    let rate = client.filled(&output, messages).await?;
    drop(processor);
    fixture.flows.stop_flow("python").await?;
    Ok(rate)
}

/// It finds the broker as TrustGraph's programs do: through the environment.
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
