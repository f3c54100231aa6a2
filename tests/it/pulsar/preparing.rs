//! `weir init` and settings with Pulsar.

use std::path::Path;

use reqwest::Method;
use weir_tests::pulsar::{Broker, Role};
use weir_tests::weir::command;

/// Runs a command on a data folder with an environment: returns its exit code and output.
pub(super) async fn printed(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder, arguments);
    command.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!text.contains("eyJ"), "a token is shown: {text}");
    (output.status.code(), text)
}

/// A topicspace of this test, and the environment that names the broker, for a role.
struct Named {
    tenant: String,
    url: String,
    admin_url: String,
    folder: tempfile::TempDir,
}

impl Named {
    fn new(broker: &Broker) -> Self {
        let tenant = format!("t{:08x}", rand::random::<u32>());
        Named { tenant, url: broker.url(), admin_url: broker.admin().url().to_owned(), folder: tempfile::tempdir().unwrap() }
    }

    async fn init(&self, broker: &Broker, role: Role) -> (Option<i32>, String) {
        let token = broker.token_file(role).unwrap();
        let environment = [
            ("WEIR_BROKER_URL", self.url.as_str()),
            ("WEIR_BROKER_PULSAR_ADMIN", self.admin_url.as_str()),
            ("WEIR_BROKER_TOKEN_FILE", token.to_str().unwrap()),
            ("WEIR_TOPICSPACE", self.tenant.as_str()),
        ];
        printed(&self.folder.path().join("data"), &environment, &["init"]).await
    }
}

#[tokio::test]
async fn init_creates_the_tenant_with_its_policies_and_reports_them() {
    let broker = Broker::node().await;
    let named = Named::new(broker);
    let tenant = &named.tenant;
    let (code, said) = named.init(broker, Role::Admin).await;
    assert_eq!(code, Some(0), "{said}");
    for made in [format!("tenant {tenant}"), format!("namespace {tenant}/flow"), format!("automatic topics of {tenant}/notify: on")] {
        assert!(said.contains(&format!("{made}: now set")), "{made}: {said}");
    }
    let admin = broker.admin();
    for (class, is_on) in [("flow", false), ("request", false), ("response", true), ("notify", true)] {
        let found = admin.must(Method::GET, &format!("namespaces/{tenant}/{class}/autoTopicCreation"), None).await;
        assert_eq!(found["allowAutoTopicCreation"], is_on, "{class}: {found}");
    }
    let (code, said) = named.init(broker, Role::Admin).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("tenant {tenant}: already set")) && !said.contains("now set"), "{said}");
    // A policy that was changed is restored, and reported.
    let path = format!("namespaces/{tenant}/flow/messageTTL");
    admin.must(Method::POST, &path, Some(&serde_json::json!(60))).await;
    let (_, said) = named.init(broker, Role::Admin).await;
    assert_eq!(said.matches("now set").count(), 1, "{said}");
    assert_eq!(admin.must(Method::GET, &path, None).await, 0);
}

#[tokio::test]
async fn without_permission_init_prints_the_calls_for_an_administrator() {
    let broker = Broker::node().await;
    let named = Named::new(broker);
    let tenant = &named.tenant;
    let (code, said) = named.init(broker, Role::Weir).await;
    assert_eq!(code, Some(78), "{said}");
    for call in [
        format!("pulsar-admin tenants create {tenant} --admin-roles ROLE"),
        format!("pulsar-admin namespaces create {tenant}/request"),
        format!("pulsar-admin namespaces set-auto-topic-creation {tenant}/flow --disable"),
    ] {
        assert!(said.contains(&call), "{call}: {said}");
    }
    // What the administrator did then suffices.
    broker.admin().make_tenant(tenant, &[Role::Weir.name()]).await;
    let (code, said) = named.init(broker, Role::Weir).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn connection_problems_are_reported_with_the_fix() {
    let broker = Broker::node().await;
    let named = Named::new(broker);
    let (code, said) = named.init(broker, Role::Expired).await;
    assert!(code == Some(78) && said.contains("broker.token-file"), "{said}");
    let other = Named { admin_url: format!("http://{}", broker.address()), ..Named::new(broker) };
    let (code, said) = other.init(broker, Role::Admin).await;
    assert!(code == Some(78) && said.contains("broker.pulsar-admin"), "{said}");
    let data = named.folder.path().join("data");
    let (code, said) = printed(&data, &[], &["init", "--broker", &named.url]).await;
    assert!(code == Some(64) && said.contains("Pulsar requires broker.pulsar-admin"), "{said}");
    let (code, said) =
        printed(&data, &[], &["settings", "show", "--broker", "pulsar://u:secret@host", "--pulsar-admin", "http://host"]).await;
    assert!(code == Some(64) && said.contains("use a token") && !said.contains("secret"), "{said}");
    let (code, said) = printed(&data, &[], &["settings", "show", "--pulsar-admin", "http://host:8080"]).await;
    assert!(code == Some(64) && said.contains("applies only to Pulsar"), "{said}");
}
