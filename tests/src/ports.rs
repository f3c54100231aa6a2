//! Ports for programs that tests start.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::Mutex;

use rand::RngExt;

/// The first port of the search, from 10,000 on.
const FIRST_PORT: u16 = 10_000;
/// The lowest port that any common system assigns to connections.
const FIRST_EPHEMERAL_PORT: u16 = 16_000;

/// A loopback port that is free now and that no other program of this process has had. It has five digits, and is below the ports that the
/// system assigns to connections and to listeners without a port of their own, if it leaves any: so it stays free while its program is
/// down.
pub(crate) fn free_port() -> u16 {
    static HAD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut had = HAD.lock().unwrap();
    let mut rng = rand::rng();
    loop {
        let port = rng.random_range(range());
        if !had.contains(&port) && is_free(port) {
            had.insert(port);
            return port;
        }
    }
}

/// Whether no program listens on a loopback port.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn range() -> Range<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let first = given.and_then(|range| range.split_whitespace().next()?.parse().ok()).unwrap_or(FIRST_EPHEMERAL_PORT);
    // A system that assigns nearly all of them leaves no separate range: any port is then equally likely to be taken.
    if first > FIRST_PORT + 1_000 { FIRST_PORT..first } else { FIRST_PORT..32_000 }
}
