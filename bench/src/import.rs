//! An import over a WebSocket, without answers, until everything is stored, against the rate of a flow in the same run.

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::flow;
use crate::gateway::{Gateway, json_body};

pub(crate) async fn run(echo: &[u8], messages: u32, rounds: u32) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let import_rate = import_run(messages).await?;
        let folder = tempfile::tempdir()?;
        let flow_rate = flow::flow_run(echo, messages, folder.path()).await?.rate;
        println!("round {round}: import {import_rate:.0}/s, flow {flow_rate:.0}/s, ratio {:.2}", import_rate / flow_rate);
        ratios.push((import_rate / flow_rate, import_rate, flow_rate));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, import_rate, flow_rate) = ratios[ratios.len() / 2];
    println!("import of {messages} messages of 1 KiB, median of {rounds}: {import_rate:.0}/s against {flow_rate:.0}/s, ratio {ratio:.2}");
    Ok(())
}

/// From the first message to the acknowledged end, which confirms that all are stored.
async fn import_run(messages: u32) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::start(folder.path()).await?;
    let address = gateway.address;
    let connection = TcpStream::connect(address).await?;
    let (mut peer, _) = tokio_tungstenite::client_async(format!("ws://{address}/api/v1/flow/bench/import/in"), connection).await?;
    let body = Utf8Bytes::from(json_body());
    let began = Instant::now();
    for _ in 0..messages {
        peer.feed(Message::Text(body.clone())).await?;
    }
    peer.close(None).await?;
    let last = peer.next().await.context("the import ended without an answer")??;
    ensure!(last.is_close(), "the import ended with {last}");
    let rate = f64::from(messages) / began.elapsed().as_secs_f64();
    let stored_count = gateway.stored_count();
    ensure!(stored_count == u64::from(messages), "{stored_count} of {messages} messages are stored");
    drop(peer);
    gateway.stop().await?;
    Ok(rate)
}
