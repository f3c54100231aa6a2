//! Faults of the broker itself, under load: nothing is lost, and nothing needs a restart.

use weir_tests::pulsar::Node;

use crate::faults::fixture::{End, WeirFixture};
use crate::faults::space::TestBroker;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_stopped_and_killed_under_load_loses_no_message() {
    let node = Node::start().await;
    let place = WeirFixture::on(TestBroker::on_pulsar(&node).await).await;
    let restart = async |end| {
        match end {
            End::Asked => node.terminate().await,
            End::Killed => node.kill().await,
        }
        node.start_again().await;
    };
    place.outlives_restarts(restart).await;
}
