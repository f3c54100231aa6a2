//! `weir up` over Pulsar, as the real binary.

use reqwest::Method;
use weir_tests::pulsar::{Broker, Role};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use crate::cli::start_echo;
use crate::rabbitmq::up::echoes;

/// The tenant of the flows of [`start_echo`].
const TENANT: &str = "tg";

async fn topics_of_flows(broker: &Broker) -> Vec<String> {
    let topics = broker.admin().must(Method::GET, &format!("persistent/{TENANT}/flow"), None).await;
    topics.as_array().unwrap().iter().map(|topic| topic.as_str().unwrap().to_owned()).filter(|topic| topic.contains(":one")).collect()
}

#[tokio::test]
async fn weir_up_runs_over_an_external_broker_and_leaves_no_flow_queue() {
    let (broker, _turn) = Broker::with_tg().await;
    let (url, token) = (broker.url(), broker.token_file(Role::Weir).unwrap());
    let environment = [
        ("WEIR_BROKER_URL", url.as_str()),
        ("WEIR_BROKER_PULSAR_ADMIN", broker.admin().url()),
        ("WEIR_BROKER_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &environment).await;
    start_echo(&weir, "b", "one").await;
    echoes(&weir, "one", "through Pulsar").await;
    assert!(!topics_of_flows(broker).await.is_empty());
    weir.must(&["flow", "stop", "one", "--discard"]).await;
    eventually(DEADLINE, "the topics of the flow to be gone", || async { topics_of_flows(broker).await.is_empty().then_some(()) }).await;
    assert!(!weir.said().contains("eyJ"), "a token is shown");
    assert_eq!(weir.end().await.code(), Some(0));
}
