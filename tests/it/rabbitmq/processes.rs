//! Processes that are killed or suspended over RabbitMQ.

use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::tally::rounds;

use crate::faults::space::TestBroker;
use crate::faults::{killed, rounds as role_rounds, takeover};

async fn space(queues: DefaultQueues) -> TestBroker {
    TestBroker::on_rabbitmq(Broker::shared().await, queues).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_under_load_loses_no_confirmed_message() {
    killed::is_killed_under_load(space(DefaultQueues::Classic).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_under_load_loses_no_confirmed_message_of_quorum_queues() {
    killed::is_killed_under_load(space(DefaultQueues::Quorum).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_interrupted_while_starting_or_stopping_run_or_are_gone_with_their_queues() {
    killed::is_killed_during_starts_and_stops(space(DefaultQueues::Classic).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_from_a_flow_service_killed_at_any_step() {
    takeover::is_killed_at_every_step(space(DefaultQueues::Classic).await, rounds(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_takes_over_from_a_flow_service_killed_at_any_step_with_quorum_queues() {
    takeover::is_killed_at_every_step(space(DefaultQueues::Quorum).await, rounds(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_service_that_continues_after_a_takeover_writes_and_deletes_nothing() {
    takeover::goes_on_after_a_stop(space(DefaultQueues::Classic).await, rounds(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_survive_rounds_of_all_faults_and_lose_no_confirmed_message() {
    let new = async |part: usize| space(if part.is_multiple_of(2) { DefaultQueues::Classic } else { DefaultQueues::Quorum }).await;
    role_rounds::are_outlived(role_rounds::ROUNDS_COUNT, new).await;
}
