//! A node with TLS, without topic policies, and with a small maximum message size: what changes with each is reported, and nothing else
//! stops.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use tokio::sync::OnceCell;
use weir_tests::certificates::{Authority, Certificate};
use weir_tests::pulsar::{Node, Role, Setup, token_until};
use weir_tests::wait::{DEADLINE, eventually};

use super::fixture::{WeirFixture, fails};
use crate::rabbitmq::up::echoes;

const MIB: usize = 1 << 20;

/// The node, and what its clients need for TLS.
pub(super) struct Secured {
    node: Node,
    authority: Authority,
    port: u16,
    admin_port: u16,
}

impl std::ops::Deref for Secured {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// The node that all tests of this process share.
pub(super) async fn secured() -> &'static Secured {
    static SECURED: OnceCell<Secured> = OnceCell::const_new();
    SECURED.get_or_init(start).await
}

async fn start() -> Secured {
    let authority = Authority::new("trusted");
    let Certificate { pem, key } = authority.certificate(&["127.0.0.1"]);
    let [port, admin_port] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let provider = |name: &str| format!("org.apache.pulsar.broker.authentication.AuthenticationProvider{name}");
    let node = Setup::default()
        .file("ca.pem", &authority.pem())
        .file("server.pem", &pem)
        .file("server-key.pem", &key)
        .line(&format!("brokerServicePortTls={port}"))
        .line(&format!("webServicePortTls={admin_port}"))
        .line("tlsCertificateFilePath=FOLDER/server.pem")
        .line("tlsKeyFilePath=FOLDER/server-key.pem")
        .line("tlsTrustCertsFilePath=FOLDER/ca.pem")
        .line("tlsRequireTrustedClientCertOnConnect=true")
        .line("tlsCertRefreshCheckDurationSec=1")
        .line(&format!("authenticationProviders={},{}", provider("Token"), provider("Tls")))
        .line("authenticationRefreshCheckSeconds=1")
        .line("topicLevelPoliciesEnabled=false")
        .line("maxMessageSize=1048576")
        .start()
        .await;
    Secured { node, authority, port, admin_port }
}

impl Secured {
    /// An environment that uses TLS, with a certificate of the tests' role.
    fn place(&self) -> WeirFixture {
        let place = WeirFixture::on(&self.node, Role::Admin).with("WEIR_BROKER_TOKEN_FILE", "");
        let place = place.with("WEIR_BROKER_URL", &format!("pulsar+ssl://127.0.0.1:{}", self.port));
        let place = place.with("WEIR_BROKER_PULSAR_ADMIN", &format!("https://127.0.0.1:{}", self.admin_port));
        let Certificate { pem, key } = self.authority.client(Role::Weir.name());
        let files = [("WEIR_BROKER_CA_FILE", self.authority.pem()), ("WEIR_BROKER_CERTIFICATE_FILE", pem), ("WEIR_BROKER_KEY_FILE", key)];
        files.into_iter().fold(place, |place, (name, text)| {
            let file = place.file(name, &text);
            place.with(name, &file)
        })
    }

    /// Replaces the certificate of the node, which rereads it without a restart.
    fn show(&self, Certificate { pem, key }: &Certificate) {
        std::fs::write(self.node.folder().join("server-key.pem"), key).unwrap();
        std::fs::write(self.node.folder().join("server.pem"), pem).unwrap();
    }
}

#[tokio::test]
async fn certificates_of_both_sides_are_checked_and_each_fault_names_its_setting() {
    let node = secured().await;
    let place = node.place();
    node.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    place.ends("all is right", &["init"], 0, &["now set"]).await;
    let weir = place.up(&[]).await;
    place.start(&weir, "echo", &["one"]).await;
    echoes(&weir, "one", "sealed").await;
    let wrong = async |case: &str, changed: &[(&'static str, String)], words: &[&str]| {
        let place = changed.iter().fold(place.again(), |place, (name, value)| place.with(name, value));
        place.does_not_come_up(case, words).await;
    };
    let another = place.file("another.pem", &Authority::new("another").pem());
    wrong("another authority", &[("WEIR_BROKER_CA_FILE", another)], &["not signed by a trusted authority", "broker.ca-file"]).await;
    let named = format!("pulsar+ssl://localhost:{}", node.port);
    wrong("another name", &[("WEIR_BROKER_URL", named)], &["is for another name", "broker.url"]).await;
    let named = format!("https://localhost:{}", node.admin_port);
    wrong("another name of the API", &[("WEIR_BROKER_PULSAR_ADMIN", named)], &["is for another name", "broker.pulsar-admin"]).await;
    let none = [("WEIR_BROKER_CERTIFICATE_FILE", String::new()), ("WEIR_BROKER_KEY_FILE", String::new())];
    wrong("no certificate", &none, &["broker.certificate-file"]).await;
    let plain = place.again().with("WEIR_BROKER_URL", &format!("pulsar+ssl://{}", node.address()));
    plain.ends("TLS to a port without", &["init"], 69, &["TLS", "broker.url", "6651"]).await;
    let plain = format!("https://{}", node.admin().address());
    wrong("TLS to an API without", &[("WEIR_BROKER_PULSAR_ADMIN", plain)], &["does not use TLS", "broker.pulsar-admin"]).await;
    // The certificate of the node expires while Weir runs, and is renewed.
    node.show(&node.authority.expired(&["127.0.0.1"]));
    eventually(DEADLINE, "the expired certificate to be refused", || async {
        let (code, said) = place.again().run(&["init"]).await;
        (code == Some(78) && said.contains("has expired: renew it on the broker")).then_some(())
    })
    .await;
    echoes(&weir, "one", "on the connection that is there").await;
    node.show(&node.authority.certificate(&["127.0.0.1"]));
    eventually(DEADLINE, "the new certificate", || async { (place.again().run(&["init"]).await.0 == Some(0)).then_some(()) }).await;
    echoes(&weir, "one", "after all").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_without_tls_is_told_that_the_port_requires_it() {
    let node = secured().await;
    for (variable, value, words) in [
        ("WEIR_BROKER_URL", format!("pulsar://127.0.0.1:{}", node.port), ["broker.url", "6651"]),
        ("WEIR_BROKER_PULSAR_ADMIN", format!("http://127.0.0.1:{}", node.admin_port), ["broker.pulsar-admin", "https://"]),
    ] {
        let (code, said) = WeirFixture::on(&node.node, Role::Admin).with(variable, &value).run(&["init"]).await;
        println!("{said}");
        assert!(matches!(code, Some(69 | 78)) && words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[tokio::test]
async fn a_broker_without_topic_policies_is_reported_and_its_message_limit_applies() {
    let node = secured().await;
    let place = WeirFixture::on(&node.node, Role::Weir);
    node.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    place.ends("init", &["init"], 0, &["limits of exits and dead letters: not set", "topicLevelPoliciesEnabled=true in broker.conf"]).await;
    let weir = place.up(&[]).await;
    place.start(&weir, "echo", &["one"]).await;
    place.start(&weir, "big_output", &["two"]).await;
    echoes(&weir, "one", "without a bound").await;
    let said = weir.said();
    let exit = format!("flow:{}:out:one", place.tenant);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("queue limit not supported") && line.contains(&exit)).collect();
    assert!(lines.len() == 1 && lines[0].contains("topicLevelPoliciesEnabled is off"), "{said}");
    let (grade, text) = place.finding("queue policies").await;
    assert!(grade == "warn" && text.contains("have no limit") && text.contains("topicLevelPoliciesEnabled=true"), "{grade} {text}");

    // A message above the broker's limit is reported to its sender, and one that a component sends becomes a dead letter.
    let large = place.file("large.json", &json!({"text": "x".repeat(2 * MIB)}).to_string());
    fails(&weir, &["send", "one", "in", &large], &["maxMessageSize of the broker"]).await;
    let asked = place.file("asked.json", &json!({"bytes": 2 * MIB}).to_string());
    weir.must(&["send", "two", "in", &asked]).await;
    let listed = || async { Some(weir.must(&["dead-letters", "list"]).await).filter(|said| said.contains("maxMessageSize")) };
    eventually(DEADLINE, "a dead letter", listed).await;
    let asked = place.file("asked.json", &json!({"bytes": 3}).to_string());
    weir.must(&["send", "two", "in", &asked]).await;
    assert!(weir.must(&["take", "two", "out", "--count", "1"]).await.contains("xxx"));
    echoes(&weir, "one", "all the same").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// The broker requests a new token when one expires. It is read from its file; if that has none, everything waits for one.
#[tokio::test]
async fn an_expiring_token_is_renewed_by_writing_its_file() {
    let node = secured().await;
    let place = WeirFixture::on(&node.node, Role::Weir);
    node.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
    let write = |seconds| place.file("token", &token_until(Role::Weir.name(), Duration::from_secs(seconds)));
    let file = write(600);
    let place = place.again().with("WEIR_BROKER_TOKEN_FILE", &file);
    let weir = {
        // Short, but long enough to start with.
        std::fs::write(&file, token_until(Role::Weir.name(), Duration::from_secs(15))).unwrap();
        place.up(&[]).await
    };
    place.start(&weir, "echo", &["one"]).await;
    weir.must(&["send", "one", "in", "--text", "before"]).await;
    let said = |words: &'static str| {
        let weir = &weir;
        move || async move { weir.said().contains(words).then_some(()) }
    };
    eventually(2 * DEADLINE, "the token to run out", said("broker.token-file")).await;
    std::fs::write(&file, token_until(Role::Weir.name(), Duration::from_secs(600))).unwrap();
    eventually(2 * DEADLINE, "weir to be ready again", || async {
        let ready = weir.http().get(weir.path("/readyz")).send().await.ok()?;
        ready.status().is_success().then_some(())
    })
    .await;
    assert!(weir.must(&["take", "one", "out", "--count", "1"]).await.contains("before"), "nothing is lost");
    echoes(&weir, "one", "after").await;
    let said = weir.said();
    assert!(!said.contains("eyJ"), "a token is shown");
    assert_eq!(weir.end().await.code(), Some(0));
}
