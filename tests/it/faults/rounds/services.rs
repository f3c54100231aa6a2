//! Rounds on the config service.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt;
use rand::rngs::StdRng;
use weir_config::{Batch, ConfigClient};
use weir_tests::wait::{DEADLINE, before, eventually, within};

use super::hosts::{moment, some};
use super::roles::{HOSTS, Roles};
use crate::faults::failpoints::Operation;

/// The config type of the values written while the service is killed.
const WRITTEN: &str = "written-in-a-round";

/// Hosts that start while there is no config service wait for it; the others continue with what they have.
pub(super) async fn host_starts_without_config(roles: &mut Roles, random: &mut StdRng) {
    moment(random, 300).await;
    let started = some(&HOSTS, random);
    roles.kill_config();
    for host in &started {
        roles.kill_host(host);
    }
    roles.begin_hosts(&started);
    for host in &started {
        roles.host(host).says("waiting for the config service; press Ctrl-C to stop Weir").await;
    }
    roles.start_config().await;
    for host in &started {
        roles.host(host).says("the config service answers").await;
    }
}

/// Writes numbers until stopped; returns the confirmed ones.
async fn write(config: ConfigClient, is_over: Arc<AtomicBool>) -> BTreeSet<String> {
    let (mut confirmed, mut number) = (BTreeSet::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let key = number.to_string();
        number += 1;
        // A value without an answer may have been written nevertheless.
        if config.apply(Batch::new().put(WRITTEN, &key, "1")).await.is_ok() {
            confirmed.insert(key);
        }
    }
    confirmed
}

/// The config service is killed while values are written to it and an operation of the flow service is in progress: nothing that it
/// confirmed is lost, and the operation is done or undone.
pub(super) async fn config_killed(roles: &mut Roles, random: &mut StdRng) {
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(roles.config.clone(), is_over.clone()));
    let is_started = random.random();
    if is_started {
        roles.perform(Operation::Start, "two").await;
    }
    let begun = roles.begin(if is_started { Operation::Stop } else { Operation::Start }, "two");
    moment(random, 300).await;
    roles.kill_config();
    moment(random, 1_000).await;
    roles.start_config().await;
    // It waits for as long as its own requests to the config service take.
    let answer = before(3 * DEADLINE, "the answer to the operation that was under way", begun.outcome()).await;
    is_over.store(true, Ordering::Relaxed);
    let confirmed = within("the end of the writes", writing).await.unwrap();
    let there = eventually(DEADLINE, "what was written", || async { roles.config.list(WRITTEN).await.ok() }).await;
    let there: BTreeSet<String> = there.value.into_iter().collect();
    let lost: Vec<_> = confirmed.difference(&there).collect();
    assert!(lost.is_empty() && !confirmed.is_empty(), "of {} confirmed writes to the configuration {lost:?} are lost", confirmed.len());
    let gone = there.iter().fold(Batch::new(), |batch, key| batch.delete(WRITTEN, key));
    roles.config.apply(gone).await.unwrap();
    let expected: &[&[&str]] = match &answer {
        Ok(()) if is_started => &[&["one"]],
        Ok(()) => &[&["one", "two"]],
        Err(error) => {
            println!("the operation during the kill was answered with: {error}");
            &[&["one"], &["one", "two"]]
        }
    };
    if roles.is_whole_with_one_of(expected).await.contains(&"two") {
        roles.perform(Operation::Stop, "two").await;
    }
}
