//! Which faults strike in which round.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::faults::failpoints::{Operation, STEPS};

/// This many rounds include every kind of fault, and every step of an operation.
pub(crate) const ROUNDS_COUNT: usize = 20;

/// The two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gateway {
    /// Keeps the components.
    Store,
    /// Forwards uploads and fetches to the store.
    Front,
}

impl Gateway {
    pub(super) const BOTH: &[Gateway] = &[Gateway::Store, Gateway::Front];
    pub(super) const STORE: &[Gateway] = &[Gateway::Store];
    pub(super) const FRONT: &[Gateway] = &[Gateway::Front];
}

/// How a suspended flow service loses its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its connections are cut, as by a network failure.
    Cut,
    /// The broker misses its heartbeats, after some 20 s.
    Heartbeats,
}

/// The fault of a round.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Some of this many hosts on one queue are killed, or all.
    HostKilled { hosts_count: usize },
    /// Hosts are killed and restarted while there is no config service.
    HostStartsWithoutConfig,
    /// The config service is killed during operations.
    ConfigKilled,
    /// The flow service is killed at a step of an operation.
    FlowKilled { operation: Operation, step: &'static str },
    /// The flow service is suspended at a step of an operation, and resumed once another one leads.
    LeaderStopped { operation: Operation, step: &'static str, loss: Loss },
    /// Hosts are killed and restarted while gateways are absent.
    GatewaysAway { away: &'static [Gateway] },
    /// A gateway is killed while both are used.
    GatewayKilled { gateway: Gateway },
}

/// A round.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) kind: Kind,
    /// The seed of its moments and choices.
    pub(super) seed: u64,
}

/// This many rounds. Each [`ROUNDS_COUNT`] of them include all kinds, in random order.
pub(super) fn of(random: &mut StdRng, count: usize) -> Vec<Round> {
    let mut rounds = Vec::new();
    while rounds.len() < count {
        let mut kinds = kinds(random);
        kinds.shuffle(random);
        rounds.extend(kinds.into_iter().map(|kind| Round { kind, seed: random.next_u64() }));
    }
    rounds.truncate(count);
    rounds
}

fn kinds(random: &mut StdRng) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = STEPS.iter().map(|&(operation, step)| Kind::FlowKilled { operation, step }).collect();
    let stopped = STEPS.sample(random, 2).zip([Loss::Cut, Loss::Heartbeats]);
    kinds.extend(stopped.map(|(&(operation, step), loss)| Kind::LeaderStopped { operation, step, loss }));
    let one = if random.random() { Gateway::STORE } else { Gateway::FRONT };
    kinds.extend([
        Kind::HostKilled { hosts_count: 2 },
        Kind::HostKilled { hosts_count: 3 },
        Kind::HostStartsWithoutConfig,
        Kind::ConfigKilled,
        Kind::GatewaysAway { away: Gateway::BOTH },
        Kind::GatewaysAway { away: one },
        Kind::GatewayKilled { gateway: Gateway::Store },
        Kind::GatewayKilled { gateway: Gateway::Front },
    ]);
    assert_eq!(kinds.len(), ROUNDS_COUNT);
    kinds
}
