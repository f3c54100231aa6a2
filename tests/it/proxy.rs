//! The proxy that injects network faults, in front of a server that echoes its input.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_tests::proxy::{Direction, Proxy};
use weir_tests::wait::{DEADLINE, eventually, within};

/// Long enough for forwarded data to arrive.
const SILENCE: Duration = Duration::from_millis(200);

async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Proxy::to(&address.to_string()).await
}

async fn connected(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, b"hello").await;
    stream
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    expect(stream, bytes).await;
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    within("the echo", stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, bytes);
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_and_closes_pass_without_faults() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    stream.shutdown().await.unwrap();
    assert_eq!(within("the end", stream.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    eventually(DEADLINE, "the connection to be gone", || async { (proxy.open_count() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_cut_resets_open_connections_and_accepts_new_ones() {
    let proxy = echo().await;
    let (mut one, mut other) = (connected(&proxy).await, connected(&proxy).await);
    proxy.cut();
    for stream in [&mut one, &mut other] {
        assert_eq!(within("the reset", stream.read_u8()).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    connected(&proxy).await;
}

#[tokio::test]
async fn a_held_connection_stays_open_and_loses_nothing() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    for hold in [None, Some(Direction::ToServer), Some(Direction::ToClient)] {
        hold.map_or_else(|| proxy.hold(), |direction| proxy.hold_one_way(direction));
        stream.write_all(b"kept").await.unwrap();
        assert!(is_silent(&mut stream).await);
        proxy.release();
        expect(&mut stream, b"kept").await;
    }
    proxy.hold();
    proxy.cut();
    assert_eq!(within("the reset", stream.read_u8()).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn new_connections_are_refused_and_open_ones_stay() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    proxy.refuse();
    let refused = || async { TcpStream::connect(proxy.address()).await.err().filter(|e| e.kind() == ErrorKind::ConnectionRefused) };
    eventually(DEADLINE, "connections to be refused", refused).await;
    exchange(&mut stream, b"still here").await;
    proxy.accept();
    eventually(DEADLINE, "connections to be accepted", || async { TcpStream::connect(proxy.address()).await.ok() }).await;
    connected(&proxy).await;
}

#[tokio::test]
async fn a_connection_is_cut_at_a_seeded_byte() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    let (first, again) = (proxy.cut_at_random(7, 1000), proxy.cut_at_random(7, 1000));
    assert_eq!(first, again);
    proxy.cut_after(7);
    // Five bytes pass to the server, two come back.
    stream.write_all(b"12345").await.unwrap();
    let mut back = Vec::new();
    let end = within("the cut", stream.read_to_end(&mut back)).await;
    assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(b"12".starts_with(&back), "{back:?}");
    connected(&proxy).await;
}

#[tokio::test]
async fn delays_and_limits_slow_bytes_down_and_lose_none() {
    let proxy = echo().await;
    let mut stream = connected(&proxy).await;
    for slow in [(Duration::from_millis(300), None), (Duration::ZERO, Some(50))] {
        proxy.delay(slow.0);
        proxy.limit(slow.1);
        stream.write_all(&[7; 20]).await.unwrap();
        assert!(is_silent(&mut stream).await);
        expect(&mut stream, &[7; 20]).await;
    }
}
