//! Rounds of faults on a Weir of several processes, under load: any role is killed, stopped or absent at a moment determined by the seed.
//! After each round no confirmed message is lost, every flow is started or stopped, and the broker has exactly the queues of the flows.
//!
//! The roles live for several rounds, like those of an operator.

mod gateways;
mod hosts;
mod plan;
mod roles;
mod services;
mod state;
mod takeovers;
mod traffic;
mod uploads;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir_pubsub::panic_text;
use weir_tests::tally::{Tally, rounds};
use weir_tests::wait::seed;

use super::space::TestBroker;
use plan::{Kind, Round};
use roles::RolesFixture;

/// This many rounds include every kind of fault, and every step of an operation.
pub(crate) use plan::ROUNDS_COUNT;

/// The total number of rounds: `WEIR_TEST_ROLE_ROUNDS`, or the default of a test.
fn rounds_count(short_count: usize) -> usize {
    let given = std::env::var("WEIR_TEST_ROLE_ROUNDS").ok().filter(|text| !text.is_empty());
    given.map_or(short_count * rounds(1) as usize, |text| text.parse().expect("WEIR_TEST_ROLE_ROUNDS is a number"))
}

/// Runs rounds on all roles. `fixture` creates a topicspace for each part of the rounds, given its number.
pub(crate) async fn are_outlived(short_count: usize, weir: impl AsyncFn(usize) -> TestBroker) {
    let seed = seed();
    let plan = plan::of(&mut StdRng::seed_from_u64(seed), rounds_count(short_count));
    let rounds_count = plan.len();
    let mut whole = Tally { sent_count: 0, lost_count: 0, doubled_count: 0 };
    let mut numbered = (1..).zip(&plan).collect::<Vec<_>>();
    let mut broker = String::new();
    for (at, part) in numbered.chunks_mut(ROUNDS_COUNT).enumerate() {
        let space = weir(at).await;
        broker = space.broker();
        let mut fixture = RolesFixture::new(space).await;
        for (number, round) in part {
            let name = format!("round {number} of {rounds_count} ({:?}, {broker})", round.kind);
            fixture.outlives(seed, &name, round).await;
        }
        let tally = fixture.end().await;
        whole.sent_count += tally.sent_count;
        whole.lost_count += tally.lost_count;
        whole.doubled_count += tally.doubled_count;
    }
    let broker = broker.split(',').next().unwrap_or_default();
    whole.show(&format!("fault rounds of roles on {broker} (seed {seed}), {rounds_count} rounds"));
}

impl RolesFixture {
    /// A round after which everything must be consistent; a failure is reported with what is needed to repeat it.
    async fn outlives(&mut self, seed: u64, name: &str, round: &Round) {
        println!("{name}");
        let began = tokio::time::Instant::now();
        if let Err(payload) = AssertUnwindSafe(self.strike(round)).catch_unwind().await {
            let (what, folder) = (panic_text(&*payload), self.roles.site.keep());
            panic!("{name} failed, WEIR_SEED={seed} repeats it: {what}; the logs of the roles are {}/*/test.log", folder.display());
        }
        println!("{name}: {} ms", began.elapsed().as_millis());
    }

    async fn strike(&mut self, round: &Round) {
        let RolesFixture { load, roles } = self;
        let random = &mut StdRng::seed_from_u64(round.seed);
        load.send_during(async {
            match round.kind {
                Kind::HostKilled { hosts_count } => hosts::killed(roles, hosts_count, random).await,
                Kind::HostStartsWithoutConfig => services::host_starts_without_config(roles, random).await,
                Kind::ConfigKilled => services::config_killed(roles, random).await,
                Kind::FlowKilled { operation, step } => takeovers::flow_killed(roles, load, operation, step, random).await,
                Kind::LeaderStopped { operation, step, loss } => takeovers::leader_stopped(roles, load, operation, step, loss).await,
                Kind::GatewaysAway { away } => gateways::away(roles, load, away, random).await,
                Kind::GatewayKilled { gateway } => gateways::killed(roles, load, gateway, random).await,
            }
            roles.is_whole(&["one"]).await;
        })
        .await;
        let tally = load.arrived().await;
        assert_eq!(tally.lost_count, 0, "of {} confirmed messages {} are lost", tally.sent_count, tally.lost_count);
    }
}
