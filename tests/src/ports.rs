//! Ports for programs that tests start.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::Mutex;

use rand::RngExt;

/// Where ports are looked for, from 10,000 on.
const FIRST_PORT: u16 = 10_000;
/// The lowest port that any common system gives to connections by itself.
const FIRST_EPHEMERAL_PORT: u16 = 16_000;

/// A port of loopback that is free now and that no other program of this process has had. It has five digits, and is below the ports that the
/// system gives to connections and to listeners without a port of their own, where it lets any be: so it stays free while its program is down.
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

/// Whether nobody listens on a port of loopback.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn range() -> Range<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let first = given.and_then(|range| range.split_whitespace().next()?.parse().ok()).unwrap_or(FIRST_EPHEMERAL_PORT);
    // A system that gives out nearly all of them leaves none apart: then they are as likely to be taken as any.
    if first > FIRST_PORT + 1_000 { FIRST_PORT..first } else { FIRST_PORT..32_000 }
}
