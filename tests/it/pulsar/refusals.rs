//! A faulty connection to the broker, or something missing on it: one clear error that names the setting and the fix.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_tests::pulsar::{Admin, Broker, Role};

use super::fixture::WeirFixture;
use super::secured::secured;

const ADMIN: &str = "WEIR_BROKER_PULSAR_ADMIN";
const URL: &str = "WEIR_BROKER_URL";

/// A program that answers HTTP and has nothing; returns its address.
async fn another_program() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\nconnection: close\r\n\r\nnothing").await;
        }
    });
    address.to_string()
}

#[tokio::test]
async fn an_address_of_another_service_is_reported() {
    let broker = Broker::node().await;
    let place = || WeirFixture::on(broker, Role::Admin);
    let another = another_program().await;
    let (broker_port, admin_port) = (broker.address(), broker.admin().address());
    let init = async |case: &str, variable: &'static str, value: String, exit: i32, words: &[&str]| {
        place().with(variable, &value).ends(case, &["init"], exit, words).await;
    };
    let not_it = ["broker.pulsar-admin", "not the admin API of Pulsar"];
    init("another program as the API", ADMIN, format!("http://{another}"), 78, &not_it).await;
    init("the port of the broker as the API", ADMIN, format!("http://{broker_port}"), 78, &["broker.pulsar-admin", "8080"]).await;
    init("the API as the broker", URL, format!("pulsar://{admin_port}"), 78, &["broker.url", "the same address", "6650"]).await;
    init("another program as the broker", URL, format!("pulsar://{another}"), 78, &["broker.url", "answers with HTTP"]).await;
    let nothing = ["127.0.0.1:1", "cannot be reached", "start it, or correct"];
    let nothings = [(ADMIN, "http://127.0.0.1:1", "broker.pulsar-admin"), (URL, "pulsar://127.0.0.1:1", "broker.url")];
    let cases = nothings.map(|(variable, value, setting)| async move {
        let words: Vec<&str> = nothing.into_iter().chain([setting]).collect();
        let place = place().with(variable, value);
        place.ends("nothing listens", &["init"], 69, &words).await;
        place.ends("nothing listens", &["doctor"], 1, &words).await;
    });
    join_all(cases).await;
    place().with(ADMIN, "").does_not_come_up("no API", &["Pulsar requires broker.pulsar-admin"]).await;
    let place = place().with(ADMIN, &format!("http://{another}"));
    place.does_not_come_up("another program as the API", &not_it).await;
}

/// Two clusters with the same name: what the API creates does not exist on the broker.
#[tokio::test]
async fn an_admin_api_of_another_cluster_is_reported_before_anything_is_created() {
    let (broker, other) = (Broker::node().await, secured().await);
    let words = ["broker.pulsar-admin", "a different cluster", broker.address()];
    let place = WeirFixture::on(broker, Role::Admin).with(ADMIN, other.admin().url());
    place.ends("no tenant", &["init"], 78, &words).await;
    for admin in [broker.admin(), other.admin()] {
        let tenants = admin.must(Method::GET, "tenants", None).await;
        assert!(!tenants.as_array().unwrap().contains(&json!(place.tenant)), "{}: {tenants}", admin.url());
    }
    broker.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    let by_one = ["broker.pulsar-admin", "a different cluster", "exists only for broker.url"];
    place.does_not_come_up("a tenant on the one", &by_one).await;
    other.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    let place = place.with("WEIR_BROKER_TOKEN_FILE", broker.token_file(Role::Weir).unwrap().to_str().unwrap());
    place.does_not_come_up("a tenant on both", &words).await;
    place.ends("a tenant on both", &["doctor"], 1, &words).await;
    place.with(ADMIN, broker.admin().url()).ends("the right one", &["init"], 0, &["now set"]).await;
}

#[tokio::test]
async fn missing_permissions_and_resources_are_reported_with_the_fix() {
    let broker = Broker::node().await;
    let place = WeirFixture::on(broker, Role::Weir);
    let missing = ["does not exist", "weir init"];
    let admin = place.again().with("WEIR_BROKER_TOKEN_FILE", broker.token_file(Role::Admin).unwrap().to_str().unwrap());
    admin.does_not_come_up("no tenant", &missing).await;
    // Half of it exists.
    broker.admin().make_tenant_with(&place.tenant, &[Role::Weir.name()], &["flow", "request"]).await;
    place.does_not_come_up("no namespace notify", &[&format!("{}/notify", place.tenant), "does not exist", "weir init"]).await;
    let said = place.ends("no namespace notify", &["doctor"], 1, &missing).await;
    assert!(said.contains(&format!("namespace {}/notify: not set", place.tenant)), "{said}");
    let said = place.ends("the rest", &["init"], 0, &[&format!("namespace {}/notify: now set", place.tenant)]).await;
    assert!(said.contains(&format!("namespace {}/flow: already set", place.tenant)), "{said}");
    let (grade, text) = place.finding("queue policies").await;
    assert!(grade == "ok" && text.contains("limits of exits and dead letters: set"), "{grade} {text}");
    // Without permission, and without a valid token.
    broker.admin().permit(&place.tenant, &[]).await;
    let update = format!("pulsar-admin tenants update {} --admin-roles ROLE", place.tenant);
    place.does_not_come_up("no rights", &[&update]).await;
    let said = place.ends("no rights", &["init"], 78, &[&update]).await;
    assert!(!said.contains("tenants create") && !said.contains("write a valid") && !said.contains("namespaces create"), "{said}");
    let (grade, text) = place.finding("queue policies").await;
    assert!(grade == "fail" && text.contains(&update), "{grade} {text}");
    broker.admin().permit(&place.tenant, &[Role::Weir.name()]).await;
    for (case, file) in [
        ("expired", broker.token_file(Role::Expired).unwrap().to_str().unwrap().to_owned()),
        ("no token", String::new()),
        ("of another key", place.file("another.token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3ZWlyIn0.AAAA")),
    ] {
        let place = place.again().with("WEIR_BROKER_TOKEN_FILE", &file);
        place.does_not_come_up(case, &["broker.token-file", "token"]).await;
    }
}

/// Executes what `weir init` prints for an administrator, as `pulsar-admin` would.
async fn carry_out(admin: &Admin, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let set = async |method: Method, path: String, body: serde_json::Value| {
        admin.must(method, &path, Some(&body)).await;
    };
    match words[..] {
        ["tenants", "create", tenant, "--admin-roles", "ROLE"] => {
            let clusters = admin.must(Method::GET, "clusters", None).await;
            set(Method::PUT, format!("tenants/{tenant}"), json!({"allowedClusters": clusters, "adminRoles": [Role::Weir.name()]})).await;
        }
        ["namespaces", "create", space] => set(Method::PUT, format!("namespaces/{space}"), json!({})).await,
        ["namespaces", "set-auto-topic-creation", space, "--disable"] => {
            set(Method::POST, format!("namespaces/{space}/autoTopicCreation"), json!({"allowAutoTopicCreation": false})).await;
        }
        ["namespaces", "set-auto-topic-creation", space, "--enable", "--type", kind] => {
            let body = json!({"allowAutoTopicCreation": true, "topicType": kind});
            set(Method::POST, format!("namespaces/{space}/autoTopicCreation"), body).await;
        }
        ["namespaces", "set-auto-subscription-creation", space, "--disable"] => {
            let body = json!({"allowAutoSubscriptionCreation": false});
            set(Method::POST, format!("namespaces/{space}/autoSubscriptionCreation"), body).await;
        }
        ["namespaces", "set-message-ttl", space, "--messageTTL", "0"] => {
            set(Method::POST, format!("namespaces/{space}/messageTTL"), json!(0)).await
        }
        ["namespaces", "set-subscription-expiration-time", space, "--time", "0"] => {
            set(Method::POST, format!("namespaces/{space}/subscriptionExpirationTime"), json!(0)).await;
        }
        [
            "namespaces",
            "set-inactive-topic-policies",
            space,
            "--disable-delete-while-inactive",
            "--max-inactive-duration",
            "1h",
            "--delete-mode",
            mode,
        ] => {
            let body = json!({"inactiveTopicDeleteMode": mode, "maxInactiveDurationSeconds": 3600, "deleteWhileInactive": false});
            set(Method::POST, format!("namespaces/{space}/inactiveTopicPolicies"), body).await;
        }
        ["namespaces", "remove-backlog-quota", space, "--type", kind] => {
            set(Method::DELETE, format!("namespaces/{space}/backlogQuota?backlogQuotaType={kind}"), json!(null)).await;
        }
        _ => panic!("not a command that this test knows: {command}"),
    }
}

#[tokio::test]
async fn the_calls_that_init_prints_for_an_administrator_suffice() {
    let broker = Broker::node().await;
    let place = WeirFixture::on(broker, Role::Weir);
    let (code, said) = place.run(&["init", "--json"]).await;
    assert_eq!(code, Some(78), "{said}");
    let document: serde_json::Value =
        serde_json::Deserializer::from_str(&said[said.find('{').unwrap()..]).into_iter().next().unwrap().unwrap();
    let missing = document["policies"].as_array().unwrap().iter().filter(|policy| policy["state"] == "missing");
    let commands: Vec<&str> = missing.map(|policy| policy["command"].as_str().unwrap().strip_prefix("pulsar-admin ").unwrap()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        carry_out(broker.admin(), command).await;
    }
    let said = place.ends("afterwards", &["init"], 0, &["already set"]).await;
    assert!(!said.contains("now set") && !said.contains("not set") && !said.contains("administrator"), "{said}");
    let weir = place.up(&[]).await;
    place.start(&weir, "echo", &["one"]).await;
    crate::rabbitmq::up::echoes(&weir, "one", "as it was said").await;
    assert_eq!(weir.end().await.code(), Some(0));
}
