//! How hosts get their components, with each role in a separate process.

use serde_json::{Value, json};
use weir_pubsub::{Backend, ConsumerOptions, Delete, Message, QueueSpec};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::roles::{Process, Role, Site};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;
use weir_tests::{guest_path, marked_guest};

use super::connection::connected;
use super::up::echoes;
use crate::cli::{blueprint, start_echo};
use crate::host_fixture::queue;

async fn vhost() -> Vhost {
    Broker::shared().await.vhost(DefaultQueues::Classic).await
}

async fn services(site: &Site) -> [Process; 2] {
    [site.start(Role::Config, "config", &[]).await, site.start(Role::Flow, "flow", &[]).await]
}

/// Passes a message through flow `one`, without a gateway.
async fn passes(vhost: &Vhost, text: &str) {
    let backend = connected(vhost.url().to_owned()).await;
    let out = queue("flow:tg:out:one", "test");
    backend.create_queue(&QueueSpec::new(out.clone())).await.unwrap();
    let reader = backend.consumer(out.topic(), out.subscription(), ConsumerOptions::default()).await.unwrap();
    let producer = backend.producer(&"flow:tg:in:one".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(Message::new(text.to_owned())).await.unwrap();
    let delivery = within(text, reader.receive()).await.unwrap();
    assert_eq!(delivery.message.body, text);
    backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
    drop(reader);
    backend.delete_queue(&out, Delete::Always).await.unwrap();
    within("the close", backend.close()).await;
}

/// The error of a failing command.
async fn refused(site: &Site, name: &str, arguments: &[&str], exit: i32) -> String {
    let mut command = site.command(Role::Host, name, arguments);
    command.env_remove("WEIR_GATEWAY");
    let mut process = site.run(Role::Host, name, command);
    assert_eq!(process.ended().await.code(), Some(exit), "{}", process.said());
    process.said()
}

#[tokio::test]
async fn a_host_runs_from_its_caches_while_the_gateway_is_unreachable() {
    let vhost = vhost().await;
    let site = Site::on(vhost.url());
    let services = services(&site).await;
    let gateway = site.gateway("gateway", &[]).await;
    let arguments = ["--gateway".to_owned(), gateway.url().to_owned()];
    let arguments = arguments.each_ref().map(String::as_str);
    let host = site.start(Role::Host, "host", &arguments).await;
    start_echo(&gateway, "b", "one").await;
    echoes(&gateway, "one", "fetched").await;
    assert_eq!(std::fs::read_dir(site.data("host").join("components")).unwrap().count(), 1);
    gateway.kill();
    host.kill();
    let host = site.start(Role::Host, "host", &arguments).await;
    passes(&vhost, "from the caches").await;
    assert!(!host.said().contains("component fetched") && !host.said().contains("compiling component"), "{}", host.said());
    // The next one is fetched from the gateway once it is back.
    let gateway = site.gateway("gateway", &[]).await;
    let file = site.data("gateway").join("other.wasm");
    std::fs::write(&file, marked_guest("echo", 2)).unwrap();
    gateway.must(&["deploy", "echo@2.0.0", file.to_str().unwrap()]).await;
    gateway.must(&["swap", "one", "echo", "echo@2.0.0", "--wait"]).await;
    passes(&vhost, "of the next one").await;
    assert_eq!(gateway.end().await.code(), Some(0));
    assert_eq!(host.end().await.code(), Some(0));
    for process in services {
        assert_eq!(process.end().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_gateway_forwards_to_the_one_with_the_components() {
    let vhost = vhost().await;
    let site = Site::on(vhost.url());
    let _services = services(&site).await;
    let store = site.gateway("store", &[]).await;
    let front = site.gateway("front", &["--components-from", store.url()]).await;
    let host = site.start(Role::Host, "host", &["--gateway", front.url()]).await;
    start_echo(&front, "b", "one").await;
    echoes(&front, "one", "by way of two gateways").await;
    assert!(!site.data("front").join("components").exists() && site.data("store").join("components").exists());
    store.kill();
    let file = site.data("front").join("other.wasm");
    std::fs::write(&file, marked_guest("echo", 2)).unwrap();
    let output = front.run(&["deploy", "echo@2.0.0", file.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(69) && said.contains("gateway.components-from"), "{said}");
    echoes(&front, "one", "goes on").await;
    assert_eq!(host.end().await.code(), Some(0));
}

/// The deployed versions of a name, with the first digits of their digests.
async fn deployed(gateway: &Weir, name: &str) -> Vec<String> {
    let listed: Value = serde_json::from_str(&gateway.must(&["config", "list", "component", "--json"]).await).unwrap();
    let keys = serde_json::to_string(&listed).unwrap();
    let mut found: Vec<String> = keys.split('"').filter(|key| key.starts_with(&format!("{name}@"))).map(str::to_owned).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_file_on_the_command_line_is_deployed_through_the_gateway() {
    let vhost = vhost().await;
    let site = Site::on(vhost.url());
    let _services = services(&site).await;
    let gateway = site.gateway("gateway", &[]).await;
    let file = format!("--processor=echo={}", guest_path("echo").display());
    let host = site.start(Role::Host, "host", &[&file, "--gateway", gateway.url()]).await;
    assert_eq!(deployed(&gateway, "echo").await, ["echo@1.0.0"]);
    let (path, flow) = (site.data("gateway").join("b.json"), blueprint("echo", &json!({})).to_string());
    std::fs::write(&path, flow).unwrap();
    gateway.must(&["blueprint", "put", "b", path.to_str().unwrap()]).await;
    gateway.must(&["flow", "start", "b", "one"]).await;
    echoes(&gateway, "one", "of a file").await;
    assert_eq!(host.end().await.code(), Some(0));
    // Another file of the same version.
    let other = site.data("gateway").join("other.wasm");
    std::fs::write(&other, marked_guest("echo", 2)).unwrap();
    let file = format!("--processor=echo={}", other.display());
    let host = site.start(Role::Host, "host", &[&file, "--gateway", gateway.url()]).await;
    let versions = deployed(&gateway, "echo").await;
    assert!(versions.len() == 2 && versions[0].starts_with("echo@0.0.0-d"), "{versions:?}");
    // The flow names the first one, which the host fetches.
    echoes(&gateway, "one", "what runs goes on").await;
    assert_eq!(host.end().await.code(), Some(0));
}

#[tokio::test]
async fn an_unrunnable_file_fails_the_start_with_the_reason() {
    let vhost = vhost().await;
    let site = Site::on(vhost.url());
    std::fs::create_dir_all(site.data("host")).unwrap();
    let text = site.data("host").join("text.wasm");
    std::fs::write(&text, "not a component").unwrap();
    let said = refused(&site, "host", &[&format!("--processor=p={}", text.display())], 65).await;
    assert!(said.contains("cannot be run as processor p") && said.contains("weir inspect"), "{said}");
    let said = refused(&site, "host", &["--processor=p=none.wasm"], 66).await;
    assert!(said.contains("none.wasm cannot be read"), "{said}");
    let newer = format!("--processor=p={}", guest_path("built_for_0_2_0").display());
    let said = refused(&site, "host", &[&newer], 65).await;
    assert!(said.contains("0.2.0"), "{said}");
    let said = refused(&site, "host", &[], 64).await;
    assert!(said.contains("--gateway URL") && said.contains("--processor NAME=FILE"), "{said}");
}

#[tokio::test]
async fn weir_up_deploys_the_given_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("echo={}", guest_path("echo").display());
    let weir = Weir::up_with(folder.path(), &["--processor", &file]).await;
    let first = eventually(DEADLINE, "the file to be deployed", || async {
        let deployed = deployed(&weir, "echo").await;
        (!deployed.is_empty()).then_some(deployed)
    });
    assert_eq!(first.await, ["echo@1.0.0"]);
    assert_eq!(weir.end().await.code(), Some(0));
}
