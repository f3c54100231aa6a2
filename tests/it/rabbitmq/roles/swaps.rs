//! `weir swap --wait` over several hosts.

use serde_json::Value;
use weir_tests::marked_guest;

use super::{RolesFixture, hosts};
use crate::guests;
use crate::rabbitmq::up::echoes;

async fn deploy(fixture: &RolesFixture, target: &str, mark: u8) {
    let file = fixture.site.data("component.wasm");
    std::fs::write(&file, marked_guest(guests::ECHO, mark)).unwrap();
    fixture.gateway.must(&["deploy", target, file.to_str().unwrap()]).await;
}

async fn versions(fixture: &RolesFixture) -> Vec<String> {
    let of = |host: &Value| host["processors"][0]["component"]["version"].as_str().unwrap_or_default().to_owned();
    hosts(&fixture.gateway).await.iter().filter(|host| host["presence"] == "reporting").map(of).collect()
}

#[tokio::test]
async fn a_swap_waits_for_every_host_except_one_that_dies() {
    let mut fixture = RolesFixture::of(&["a", "b", "c"]).await;
    deploy(&fixture, "echo@2.0.0", 2).await;
    let said = fixture.gateway.must(&["swap", "one", "echo", "echo@2.0.0", "--wait"]).await;
    assert!(said.contains("it is running on 3 hosts"), "{said}");
    assert_eq!(versions(&fixture).await, ["2.0.0"; 3]);
    deploy(&fixture, "echo@3.0.0", 3).await;
    // It no longer reports, and is not known to be gone yet.
    fixture.hosts.pop().unwrap().kill();
    let said = fixture.gateway.must(&["swap", "one", "echo", "echo@3.0.0", "--wait"]).await;
    assert!(said.contains("host c stopped during the swap and was not waited for") && said.contains("it is running on 2 hosts"), "{said}");
    assert_eq!(versions(&fixture).await, ["3.0.0"; 2]);
    echoes(&fixture.gateway, "one", "after two swaps").await;
    fixture.end().await;
}
