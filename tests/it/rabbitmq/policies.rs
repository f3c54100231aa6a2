//! Policies through the management API: those that queues of flows need are set and detected.

use weir_pubsub::{Backend, Limits, PolicyState, Provision, PubsubError, RabbitBroker, TlsFiles};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::within;

async fn connected(vhost: &Vhost, management: &str) -> std::sync::Arc<RabbitBroker> {
    within("a connection", RabbitBroker::connect(vhost.url(), Limits::default(), &TlsFiles::default(), Some(management))).await.unwrap()
}

/// Which policies are set and which are missing, by name.
async fn states(backend: &RabbitBroker, provision: Provision) -> (Vec<String>, Vec<String>) {
    let policies = within("the policies", backend.policies("tg", provision)).await.unwrap();
    let named =
        |is: fn(&PolicyState) -> bool| policies.iter().filter(|policy| is(&policy.state)).map(|policy| policy.name.clone()).collect();
    (named(|state| *state == PolicyState::Set), named(|state| matches!(state, PolicyState::Missing(_))))
}

/// The first two numbers of the broker's version.
async fn version(broker: &Broker) -> (u32, u32) {
    let overview = broker.management().get("overview").await;
    let mut numbers = overview["rabbitmq_version"].as_str().unwrap().split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn policies_are_set_and_apply_to_flow_queues() {
    let broker = Broker::shared().await;
    let version = version(broker).await;
    let needed = |queues| match queues {
        _ if version < (3, 12) => names(&[]),
        DefaultQueues::Classic if version < (4, 3) => names(&["weir-classic"]),
        DefaultQueues::Classic => names(&[]),
        DefaultQueues::Quorum => names(&["weir-quorum"]),
    };
    for queues in [DefaultQueues::Classic, DefaultQueues::Quorum] {
        let vhost = broker.vhost(queues).await;
        let backend = connected(&vhost, broker.management().url()).await;
        let needed = needed(queues);
        assert_eq!(states(&backend, Provision::Look).await, (names(&[]), needed.clone()), "{queues:?}");
        for _ in 0..2 {
            let (set, missing) = states(&backend, Provision::Set).await;
            assert!(needed.iter().all(|name| set.contains(name)) && missing.is_empty(), "{queues:?}: set {set:?}, missing {missing:?}");
        }
        assert_eq!(states(&backend, Provision::Look).await, (needed, names(&[])), "{queues:?}");
        assert_eq!(backend.inspect().list_queues().await.unwrap(), [], "the queue for the look is gone");
        backend.close().await;
    }
}

#[tokio::test]
async fn a_policy_of_higher_priority_is_reported() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Quorum).await;
    let other = serde_json::json!({"pattern": ".*", "apply-to": "queues", "priority": 9, "definition": {"max-length": 1_000_000}});
    broker.management().put(&format!("policies/{}/other", vhost.name()), &other).await;
    let backend = connected(&vhost, broker.management().url()).await;
    // Before 3.12 no policy is needed.
    let needed = if version(broker).await < (3, 12) { names(&[]) } else { names(&["weir-quorum"]) };
    assert_eq!(states(&backend, Provision::Set).await.1, needed);
    backend.close().await;
}

#[tokio::test]
async fn an_unusable_management_api_is_reported_with_the_reason() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let url = broker.management().url().to_owned();
    let (_, address) = url.split_once('@').unwrap();
    let user = format!("plain-{}", vhost.name());
    broker.management().put_user(&user, "secret-of-it").await;
    // A port without a listener, and servers of another kind: the AMQP port and a web page.
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (format!("http://{user}:secret-of-it@{address}"), "the tag `management`"),
        (format!("http://{user}:another-secret@{address}"), "access denied for user"),
        (format!("http://{nothing}"), "does not answer"),
        (format!("http://{}", broker.address()), "does not answer"),
    ];
    for (management, expected) in cases {
        let backend = connected(&vhost, &management).await;
        let told = [
            within("an answer", backend.inspect().list_queues()).await.map(|_| ()),
            within("an answer", backend.policies("tg", Provision::Set)).await.map(|_| ()),
        ];
        for error in told.map(Result::unwrap_err) {
            let text = weir_pubsub::chain(&error);
            assert!(text.contains(expected) && !text.contains("secret"), "{management}: {text}");
            assert!(matches!(error, PubsubError::Refused { .. } | PubsubError::Unavailable { .. }), "{error:?}");
        }
        backend.close().await;
    }
    broker.management().delete(&format!("users/{user}")).await;
}
