//! Messages of 1 KiB posted to a `flow` interface by many clients that keep their connections, against a bare axum server that reads the
//! same body, sends the same answer, and does nothing; and beside both only the broker, with the same number of tasks in this process
//! publishing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_pubsub::{Backend, Message, Producer};

use crate::fixture::{INPUT, quantile};
use crate::gateway::{Gateway, json_body};

const CLIENTS_COUNT: usize = 64;
const PATH: &str = "/api/v1/flow/bench/service/in";

/// The result of one server.
struct Run {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

pub(crate) async fn run(messages: usize, rounds: usize) -> anyhow::Result<()> {
    let each = (messages / CLIENTS_COUNT).max(1);
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let bare = bare_run(each).await?;
        let weir = weir_run(each).await?;
        let broker = broker_run(each).await?;
        println!("round {round}: {}; {}; {}", told("Weir", &weir), told("bare axum", &bare), told("the broker alone", &broker));
        ratios.push((weir.rate / bare.rate, weir, bare, broker));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, weir, bare, broker) = &ratios[ratios.len() / 2];
    println!(
        "POST of 1 KiB, {CLIENTS_COUNT} clients, {} messages, median of {rounds}: {}; {}; {}; ratio {ratio:.2}",
        each * CLIENTS_COUNT,
        told("Weir", weir),
        told("bare axum", bare),
        told("the broker alone", broker)
    );
    Ok(())
}

fn told(name: &str, run: &Run) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{name} {:.0}/s, p50 {:.2} ms, p99 {:.2} ms", run.rate, ms(run.p50), ms(run.p99))
}

async fn weir_run(each: usize) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::start(folder.path()).await?;
    // The first message creates the producer.
    clients(gateway.address, 1).await?;
    let run = clients(gateway.address, each).await?;
    let stored_count = gateway.stored_count();
    ensure!(stored_count == ((each + 1) * CLIENTS_COUNT) as u64, "{stored_count} messages are stored");
    gateway.stop().await?;
    Ok(run)
}

async fn bare_run(each: usize) -> anyhow::Result<Run> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = async |_body: Bytes| ([(CONTENT_TYPE, "application/json")], "{}");
    let router = Router::new().route("/api/v1/flow/{flow}/service/{interface}", post(answer));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    clients(address, 1).await?;
    let run = clients(address, each).await?;
    serving.abort();
    Ok(run)
}

/// As many tasks as there are clients, each publishing one message after the other.
async fn broker_run(each: usize) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::start(folder.path()).await?;
    let producer: Arc<dyn Producer> = Arc::from(gateway.fixture.broker.producer(&INPUT.parse()?).await?);
    let body = Bytes::from(json_body());
    let publish = |producer: Arc<dyn Producer>, body: Bytes| async move {
        let mut latencies = Vec::with_capacity(each);
        for _ in 0..each {
            let began = Instant::now();
            producer.publish_confirmed(Message::new(body.clone())).await?;
            latencies.push(began.elapsed());
        }
        anyhow::Ok(latencies)
    };
    let run = timed((0..CLIENTS_COUNT).map(|_| tokio::spawn(publish(producer.clone(), body.clone()))), each).await?;
    gateway.stop().await?;
    Ok(run)
}

/// Waits for tasks that were just started, and returns their combined rate.
async fn timed(tasks: impl Iterator<Item = JoinHandle<anyhow::Result<Vec<Duration>>>>, each: usize) -> anyhow::Result<Run> {
    let began = Instant::now();
    let mut latencies = Vec::with_capacity(each * CLIENTS_COUNT);
    for done in try_join_all(tasks).await? {
        latencies.extend(done?);
    }
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    latencies.sort();
    Ok(Run { rate, p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99) })
}

/// All clients concurrently, each sending one request after the other.
async fn clients(address: SocketAddr, each: usize) -> anyhow::Result<Run> {
    let body = json_body();
    let head =
        format!("POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let request = Bytes::from(head + &body);
    let connections = try_join_all((0..CLIENTS_COUNT).map(|_| TcpStream::connect(address))).await?;
    timed(connections.into_iter().map(|connection| tokio::spawn(client(connection, request.clone(), each))), each).await
}

async fn client(mut connection: TcpStream, request: Bytes, count: usize) -> anyhow::Result<Vec<Duration>> {
    connection.set_nodelay(true)?;
    let mut latencies = Vec::with_capacity(count);
    let mut answer = Vec::with_capacity(4096);
    for _ in 0..count {
        let began = Instant::now();
        connection.write_all(&request).await?;
        answer.clear();
        while !is_whole(&answer) {
            ensure!(connection.read_buf(&mut answer).await? > 0, "the connection was closed");
        }
        latencies.push(began.elapsed());
        let text = std::str::from_utf8(&answer).context("the answer is no text")?;
        ensure!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n{}"), "the answer is {text}");
    }
    Ok(latencies)
}

/// Whether an answer is complete with its body: two bytes on success, any otherwise.
fn is_whole(answer: &[u8]) -> bool {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    head.is_some_and(|at| answer.len() >= at + 4 + 2)
}
