//! A TCP proxy on loopback that produces network faults on demand: in front of a real broker, it is the network to it.
//!
//! Faults apply to open and new connections until they are ended. No maintained library does this: those found are clients of a program in
//! another language.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::wait::pass;

/// Below the ports that the operating system assigns to connections, so that the address stays free while it refuses.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// Read at a time: small, so that a limited throughput is even.
const CHUNK_BYTES: usize = 4 << 10;

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

#[derive(Clone, Debug, Default)]
struct Faults {
    /// Incremented by each cut.
    cuts_count: u64,
    /// The text that a connection to be cut must have sent at its beginning; `None`: all connections are cut.
    cut_of: Option<Vec<u8>>,
    is_refusing: bool,
    /// Whether bytes of each direction are held.
    held: [bool; 2],
    delay: Duration,
    bytes_per_second: Option<u32>,
}

/// A proxy in front of a server. Dropping it cuts its connections and frees its address.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Line {
    server: String,
    faults: watch::Sender<Faults>,
    /// How many bytes still pass before a cut.
    budget: Mutex<Option<u64>>,
    open: watch::Sender<usize>,
    /// The first bytes of the open connections.
    heads: Mutex<Vec<Weak<Head>>>,
    /// A text to replace in data for clients, and its replacement of the same length.
    replaced: Option<(Vec<u8>, Vec<u8>)>,
}

/// The first bytes that a client has sent on a connection.
type Head = Mutex<Vec<u8>>;
/// How much of them is kept.
const HEAD_BYTES: usize = 4 << 10;
/// The shortest prefix of the replaced text at the end of a read that is held back until the rest has arrived.
const KEPT_BYTES: usize = 4;

impl Proxy {
    /// In front of a server, `HOST:PORT`, without any fault.
    ///
    /// # Panics
    /// If no port of loopback is free.
    pub async fn to(server: &str) -> Self {
        Proxy::new(server, |_| None).await
    }

    /// The same in front of a server that sends its address to clients, which is replaced by that of this proxy.
    ///
    /// # Panics
    /// As [`Proxy::to`]; if the two addresses are not of the same length.
    pub async fn in_place_of(server: &str) -> Self {
        let replaced = |address: SocketAddr| {
            let (of, by) = (server.as_bytes().to_vec(), address.to_string().into_bytes());
            assert_eq!(of.len(), by.len(), "{server} must be an address of 127.0.0.1 with a port of five digits, as {address} is");
            Some((of, by))
        };
        Proxy::new(server, replaced).await
    }

    async fn new(server: &str, replaced: impl Fn(SocketAddr) -> Option<(Vec<u8>, Vec<u8>)>) -> Self {
        let listener = loop {
            let port = rand::rng().random_range(PORTS);
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                break listener;
            }
        };
        let address = listener.local_addr().unwrap();
        let (faults, open) = (watch::Sender::new(Faults::default()), watch::Sender::new(0));
        let (budget, heads) = (Mutex::default(), Mutex::default());
        let line = Arc::new(Line { server: server.to_owned(), faults, budget, open, heads, replaced: replaced(address) });
        Proxy { address, accepting: tokio::spawn(line.clone().accept(listener)), line }
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        *self.line.open.borrow()
    }

    /// Resets all connections; new ones are accepted.
    pub fn cut(&self) {
        self.line.cut();
    }

    /// Resets the connections whose client has sent this text at the beginning, and returns their number; new ones are accepted.
    pub fn cut_those_of(&self, text: &str) -> usize {
        let heads: Vec<Arc<Head>> = self.line.heads.lock().unwrap().iter().filter_map(Weak::upgrade).collect();
        self.line.faults.send_modify(|faults| {
            faults.cuts_count += 1;
            faults.cut_of = Some(text.as_bytes().to_vec());
        });
        heads.iter().filter(|head| holds(&head.lock().unwrap(), text.as_bytes())).count()
    }

    /// Resets all connections after this many further bytes, in both directions together.
    pub fn cut_after(&self, bytes_count: u64) {
        *self.line.budget.lock().unwrap() = Some(bytes_count);
    }

    /// As [`Proxy::cut_after`] at a random position determined by the seed, up to `most_bytes`; prints and returns it.
    pub fn cut_at_random(&self, seed: u64, most_bytes: u64) -> u64 {
        let bytes_count = StdRng::seed_from_u64(seed).random_range(1..=most_bytes);
        println!("the connection is cut after {bytes_count} bytes (seed {seed})");
        self.cut_after(bytes_count);
        bytes_count
    }

    /// Refuses new connections until [`Proxy::accept`]; open ones stay.
    pub fn refuse(&self) {
        self.line.faults.send_modify(|faults| faults.is_refusing = true);
    }

    /// Accepts connections again.
    pub fn accept(&self) {
        self.line.faults.send_modify(|faults| faults.is_refusing = false);
    }

    /// Forwards nothing while connections stay open, as after a router failure. Data sent meanwhile is kept.
    pub fn hold(&self) {
        self.line.faults.send_modify(|faults| faults.held = [true; 2]);
    }

    /// As [`Proxy::hold`] in one direction.
    pub fn hold_one_way(&self, direction: Direction) {
        self.line.faults.send_modify(|faults| faults.held[direction as usize] = true);
    }

    /// Forwards again, beginning with the held data.
    pub fn release(&self) {
        self.line.faults.send_modify(|faults| faults.held = [false; 2]);
    }

    /// Delays forwarded data in each direction; `ZERO` ends it. At most 4 KiB are in flight in each direction of a connection meanwhile.
    pub fn delay(&self, delay: Duration) {
        self.line.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Limits the throughput of each direction of each connection; `None` ends it.
    pub fn limit(&self, bytes_per_second: Option<u32>) {
        self.line.faults.send_modify(|faults| faults.bytes_per_second = bytes_per_second);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Line {
    fn cut(&self) {
        *self.budget.lock().unwrap() = None;
        self.faults.send_modify(|faults| {
            faults.cuts_count += 1;
            faults.cut_of = None;
        });
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let address = listener.local_addr().unwrap();
        let mut listener = Some(listener);
        let mut faults = self.faults.subscribe();
        loop {
            if faults.borrow_and_update().is_refusing {
                listener = None;
                let _ = faults.wait_for(|faults| !faults.is_refusing).await;
            }
            let open = match listener.take() {
                Some(open) => open,
                None => TcpListener::bind(address).await.expect("the port is not one that connections are given"),
            };
            tokio::select! {
                biased;
                _ = faults.changed() => {}
                accepted = open.accept() => if let Ok((client, _)) = accepted {
                    tokio::spawn(self.clone().serve(client));
                },
            }
            listener = Some(open);
        }
    }

    /// Forwards in both directions until both sides have ended; any other end resets both.
    async fn serve(self: Arc<Self>, mut client: TcpStream) {
        let mut faults = self.faults.subscribe();
        let mut cuts_count = faults.borrow().cuts_count;
        let head = Arc::new(Head::default());
        {
            let mut heads = self.heads.lock().unwrap();
            heads.retain(|head| head.strong_count() > 0);
            heads.push(Arc::downgrade(&head));
        }
        let Ok(mut server) = TcpStream::connect(&self.server).await else { return drop(client.set_zero_linger()) };
        let _ = (server.set_nodelay(true), client.set_nodelay(true));
        self.open.send_modify(|open| *open += 1);
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = self.forward(Direction::ToServer, from_client, to_server, &head);
        let back = self.forward(Direction::ToClient, from_server, to_client, &head);
        let is_cut = |faults: &Faults| {
            let is_new = std::mem::replace(&mut cuts_count, faults.cuts_count) != faults.cuts_count;
            is_new && faults.cut_of.as_ref().is_none_or(|text| holds(&head.lock().unwrap(), text))
        };
        let has_ended = tokio::select! {
            biased;
            _ = faults.wait_for(is_cut) => false,
            both = async { tokio::try_join!(there, back) } => both.is_ok(),
        };
        if !has_ended {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        self.open.send_modify(|open| *open -= 1);
    }

    /// Forwards one direction up to its end.
    async fn forward(&self, direction: Direction, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, head: &Head) -> std::io::Result<()> {
        let mut faults = self.faults.subscribe();
        let mut chunk = [0; CHUNK_BYTES];
        let mut kept_count = 0;
        loop {
            let count = kept_count + from.read(&mut chunk[kept_count..]).await?;
            let is_over = count == kept_count;
            if direction == Direction::ToServer {
                let mut head = head.lock().unwrap();
                let left_bytes = HEAD_BYTES.saturating_sub(head.len());
                head.extend_from_slice(&chunk[kept_count..count.min(kept_count + left_bytes)]);
            }
            let (delay, limit) = {
                let now = faults.borrow();
                (now.delay, now.bytes_per_second)
            };
            let time = limit.map_or(Duration::ZERO, |limit| Duration::from_secs_f64(count as f64 / f64::from(limit.max(1))));
            if !(delay + time).is_zero() {
                pass(delay + time).await;
            }
            let _ = faults.wait_for(|faults| !faults.held[direction as usize]).await;
            kept_count = if direction == Direction::ToClient && !is_over { self.replace(&mut chunk[..count]) } else { 0 };
            let (passing_count, is_cut) = self.spend(count - kept_count);
            to.write_all(&chunk[..passing_count]).await?;
            if is_cut {
                self.cut();
            }
            if is_over {
                return to.shutdown().await;
            }
            chunk.copy_within(count - kept_count..count, 0);
        }
    }

    /// Applies the replacement; returns how many bytes at the end may be the beginning of another occurrence.
    fn replace(&self, bytes: &mut [u8]) -> usize {
        let Some((of, by)) = &self.replaced else { return 0 };
        let mut at = 0;
        while at + of.len() <= bytes.len() {
            if bytes[at..].starts_with(of) {
                bytes[at..at + of.len()].copy_from_slice(by);
                at += of.len();
            } else {
                at += 1;
            }
        }
        (KEPT_BYTES..of.len()).rev().find(|count| bytes.ends_with(&of[..*count])).unwrap_or(0)
    }

    /// How many of these bytes may pass, and whether the connection is cut after them.
    fn spend(&self, count: usize) -> (usize, bool) {
        let mut budget = self.budget.lock().unwrap();
        let Some(left) = budget.as_mut() else { return (count, false) };
        let passing_count = usize::try_from(*left).unwrap_or(usize::MAX).min(count);
        *left -= passing_count as u64;
        (passing_count, *left == 0)
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len().max(1)).any(|window| window == text)
}
