//! Processes that are killed or suspended over Pulsar.

use weir_tests::pulsar::Broker;
use weir_tests::tally::rounds;

use crate::faults::space::TestBroker;
use crate::faults::{killed, rounds as role_rounds, takeover};

/// Rounds of roles by default: some of the kinds of faults, different ones in each run.
const FEW_ROUNDS_COUNT: usize = 5;

async fn space() -> TestBroker {
    TestBroker::on_pulsar(Broker::shared().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_under_load_loses_no_confirmed_message() {
    killed::is_killed_under_load(space().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_interrupted_while_starting_or_stopping_run_or_are_gone_with_their_queues() {
    killed::is_killed_during_starts_and_stops(space().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_from_a_flow_service_killed_at_any_step() {
    takeover::is_killed_at_every_step(space().await, rounds(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_service_that_continues_after_a_takeover_writes_and_deletes_nothing() {
    takeover::goes_on_after_a_stop(space().await, rounds(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_survive_rounds_of_all_faults_and_lose_no_confirmed_message() {
    role_rounds::are_outlived(FEW_ROUNDS_COUNT, async |_| space().await).await;
}
