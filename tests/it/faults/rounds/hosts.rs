//! Rounds on hosts.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use weir_tests::wait::pass;

use super::roles::{HOSTS, Roles};

/// Waits for a random time before a fault strikes.
pub(super) async fn moment(random: &mut StdRng, most_ms: u64) {
    pass(Duration::from_millis(random.random_range(0..most_ms))).await;
}

/// At least one of the hosts.
pub(super) fn some(hosts: &[&'static str], random: &mut StdRng) -> Vec<&'static str> {
    let count = random.random_range(1..=hosts.len());
    hosts.sample(random, count).copied().collect()
}

/// Some of several hosts on one queue are killed, and restarted after a while.
pub(super) async fn killed(roles: &mut Roles, hosts_count: usize, random: &mut StdRng) {
    let (working, leaving) = HOSTS.split_at(hosts_count);
    for host in leaving {
        roles.end_host(host).await;
    }
    moment(random, 500).await;
    let mut gone = some(working, random);
    for host in &gone {
        roles.kill_host(host);
    }
    moment(random, 500).await;
    gone.extend(leaving);
    roles.start_hosts(&gone).await;
}
