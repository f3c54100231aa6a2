//! `handle` of a component through everything that a worker does for a message except receiving and settling, against a bare call.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;
use weir_config::Change;
use weir_pubsub::{Message, MessageId};
use weir_runtime::{CompiledComponent, Engine, Instance, Outcome, Program, ProgramEnvironment};

use crate::bare::Bare;
use crate::{body, fixture};

/// What is called, with which message, and how often per round.
pub(crate) struct Subject {
    bytes: Vec<u8>,
    body: Bytes,
    calls_count: u32,
}

impl Subject {
    /// The echo component of the tests, with bytes.
    pub(crate) fn echo(bytes: Vec<u8>) -> Self {
        Subject { bytes, body: body(), calls_count: 50_000 }
    }

    /// A component of `weir new`, with 1 KiB of JSON.
    pub(crate) fn of_file(file: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let mut text = "to be or not to be that is the question ".repeat(25);
        text.truncate(1024 - r#"{"id":"a","text":""}"#.len());
        Ok(Subject { bytes, body: json!({"id": "a", "text": text}).to_string().into(), calls_count: 10_000 })
    }

    /// The parameters with their defaults, as the flow service would give them.
    fn parameters(&self) -> anyhow::Result<Vec<(String, String)>> {
        let declared = fixture::deployment(&self.bytes)?.1.descriptor.parameters;
        Ok(declared.into_iter().filter_map(|parameter| Some((parameter.name, parameter.default?))).collect())
    }
}

pub(crate) async fn run(subject: &Subject, rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bare_engine = Engine::new(4, &folder.path().join("bare"))?;
    let bare_component = Bare::compiled(&bare_engine, &subject.bytes).map_err(boxed)?;
    let broker = fixture::broker(&folder.path().join("queues"))?;
    let engine = Engine::new(4, &folder.path().join("cache"))?;
    let loaded = Arc::new(CompiledComponent::of_bytes(&engine, &subject.bytes)?);
    let (component, record) = fixture::deployment(&subject.bytes)?;
    let environment = ProgramEnvironment { backend: broker, stop: Default::default(), defaults: Default::default() };
    let mut entry = fixture::entry();
    entry.parameters = subject.parameters()?.into_iter().collect();
    let program = Arc::new(Program::new(("echo", "bench"), &entry, component, &record, loaded, environment)?);
    let (mut best_bare, mut best, mut memory) = (f64::MAX, f64::MAX, String::new());
    for round in 0..rounds {
        // New instances for each round: some languages leak what they send.
        let mut bare = Bare::start(&bare_engine, &bare_component, subject.parameters()?).await.map_err(boxed)?;
        let bare_ns = bare_round(&mut bare, subject).await?;
        let mut instance = Instance::start_alone(&program, Change::default()).await?;
        let ns = round_of(&mut instance, subject).await?;
        memory = instance.memory_use();
        (best_bare, best) = (best_bare.min(bare_ns), best.min(ns));
        println!("round {round:2}: bare {bare_ns:6.0} ns, through the host {ns:6.0} ns");
    }
    println!("handle, 1 KiB, minimum of {rounds}: bare {best_bare:.0} ns, through the host {best:.0} ns, ratio {:.2}", best / best_bare);
    println!("after {} calls: {memory}", subject.calls_count);
    Ok(())
}

async fn bare_round(bare: &mut Bare, subject: &Subject) -> anyhow::Result<f64> {
    let begin = Instant::now();
    for _ in 0..subject.calls_count {
        bare.handle(&subject.body).await.map_err(boxed)?;
    }
    Ok(begin.elapsed().as_nanos() as f64 / f64::from(subject.calls_count))
}

async fn round_of(instance: &mut Instance, subject: &Subject) -> anyhow::Result<f64> {
    let mut message = Message::new(subject.body.clone());
    let begin = Instant::now();
    for call in 0..subject.calls_count {
        message.id = Some(MessageId(u128::from(call)));
        match instance.handle(0, &message, 1).await {
            Outcome::Done(handled) if handled.outputs.len() == 1 => drop(handled),
            other => bail!("not one message was sent: {other:?}"),
        }
    }
    Ok(begin.elapsed().as_nanos() as f64 / f64::from(subject.calls_count))
}

fn boxed(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}
