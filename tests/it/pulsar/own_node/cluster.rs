//! A cluster whose topics move between its nodes, and the failure of a node: nothing is lost, and nothing needs a restart.

use std::time::Duration;

use weir_tests::pulsar::Cluster;
use weir_tests::tally::rounds;
use weir_tests::wait::pass;

use crate::faults::killed;
use crate::faults::space::TestBroker;

#[tokio::test(flavor = "multi_thread")]
async fn moving_topics_and_a_killed_node_under_load_lose_no_message() {
    let cluster = Cluster::start().await;
    let space = TestBroker::on_pulsar(cluster.broker()).await;
    let (flows, requests) = (format!("{}/flow", space.name()), format!("{}/request", space.name()));
    let input = format!("persistent/{flows}/in:one");
    let faults = async {
        for _ in 0..rounds(1) {
            pass(Duration::from_millis(500)).await;
            for namespace in [&flows, &requests] {
                cluster.unload(namespace).await;
                pass(Duration::from_millis(500)).await;
            }
            cluster.move_to_second(&flows, &input).await;
            pass(Duration::from_millis(500)).await;
            cluster.kill_second().await;
            pass(Duration::from_secs(3)).await;
            cluster.start_second_again().await;
            cluster.move_to_second(&flows, &input).await;
        }
        pass(Duration::from_millis(500)).await;
    };
    killed::runs_on_during(space, "topics moved and a node killed", faults).await;
}
