//! `handle` of the echo component through everything that a worker does for a message but receiving and settling, against a bare call.

use std::sync::Arc;

use anyhow::bail;
use tokio::time::Instant;
use weir_config::Change;
use weir_pubsub::{Message, MessageId};
use weir_runtime::{Engine, Instance, Loaded, Outcome, Program, Surroundings};

use crate::bare::Bare;
use crate::{body, stage};

const CALLS_COUNT: u32 = 50_000;

pub(crate) async fn run(echo: &[u8], rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut bare = Bare::start(echo, &folder.path().join("bare")).await.map_err(|error| anyhow::Error::from_boxed(error.into()))?;
    let broker = stage::broker(&folder.path().join("queues"))?;
    let engine = Engine::new(4, &folder.path().join("cache"))?;
    let loaded = Arc::new(Loaded::of_bytes(&engine, echo)?);
    let (component, record) = stage::deployment(echo)?;
    let surroundings = Surroundings { backend: broker, stop: Default::default(), defaults: Default::default() };
    let program = Program::new(("echo", "bench"), &stage::entry(), component, &record, loaded, surroundings)?;
    let mut instance = Instance::start_alone(&Arc::new(program), Change::default()).await?;
    let (mut best_bare, mut best) = (f64::MAX, f64::MAX);
    for round in 0..rounds {
        let bare_ns = bare_round(&mut bare).await?;
        let ns = round_of(&mut instance).await?;
        (best_bare, best) = (best_bare.min(bare_ns), best.min(ns));
        println!("round {round:2}: bare {bare_ns:6.0} ns, through the host {ns:6.0} ns");
    }
    println!("handle, 1 KiB, minimum of {rounds}: bare {best_bare:.0} ns, through the host {best:.0} ns, ratio {:.2}", best / best_bare);
    Ok(())
}

async fn bare_round(bare: &mut Bare) -> anyhow::Result<f64> {
    let body = body();
    let begin = Instant::now();
    for _ in 0..CALLS_COUNT {
        bare.handle(&body).await.map_err(|error| anyhow::Error::from_boxed(error.into()))?;
    }
    Ok(begin.elapsed().as_nanos() as f64 / f64::from(CALLS_COUNT))
}

async fn round_of(instance: &mut Instance) -> anyhow::Result<f64> {
    let mut message = Message::new(body());
    let begin = Instant::now();
    for call in 0..CALLS_COUNT {
        message.id = Some(MessageId(u128::from(call)));
        match instance.handle(0, &message, 1).await {
            Outcome::Done(handled) if handled.outputs.len() == 1 => drop(handled),
            other => bail!("not echoed: {other:?}"),
        }
    }
    Ok(begin.elapsed().as_nanos() as f64 / f64::from(CALLS_COUNT))
}
