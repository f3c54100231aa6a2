//! The broker that all tests share.

use reqwest::{Method, StatusCode};
use serde_json::json;
use weir_tests::rabbitmq::{Broker, DefaultQueues};

#[tokio::test]
async fn a_vhost_is_fresh_has_its_default_queue_type_and_is_deleted() {
    let broker = Broker::shared().await;
    let api = broker.management();
    for queues in [DefaultQueues::Classic, DefaultQueues::Quorum] {
        let vhost = broker.vhost(queues).await;
        let name = vhost.name().to_owned();
        assert!(vhost.url().ends_with(&format!("/{name}")), "{}", vhost.url());
        assert_eq!(api.get(&format!("queues/{name}")).await, json!([]));
        api.put(&format!("queues/{name}/q"), &json!({"durable": true})).await;
        assert_eq!(api.get(&format!("queues/{name}/q")).await["type"], queues.name());
        drop(vhost);
        let (status, _) = api.send(Method::GET, &format!("vhosts/{name}"), None).await.unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn users_and_policies_are_created_through_the_management_api() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let api = broker.management();
    let user = format!("user-of-{}", vhost.name());
    api.put_user(&user, "secret").await;
    api.permit(&user, vhost.name(), "^$", ".*", ".*").await;
    assert_eq!(api.get(&format!("permissions/{}/{user}", vhost.name())).await["configure"], "^$");
    api.put_policy(vhost.name(), "limit", ".*", "queues", &json!({"max-length": 5})).await;
    assert_eq!(api.get(&format!("policies/{}/limit", vhost.name())).await["definition"], json!({"max-length": 5}));
    api.delete(&format!("users/{user}")).await;
    assert!(broker.url_as(&user, "secret", vhost.name()).contains("secret@"));
}
