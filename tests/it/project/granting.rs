//! Limits that a component requests: what a deployment grants by default, and what needs a flag.

use serde_json::{Value, json};
use weir_tests::guest;
use weir_tests::weir::Weir;

use super::project_fixture::ProjectFixture;
use crate::guests;
use crate::host_fixture::stamped;

/// A component that requests these limits.
fn requesting(version: &str, limits: &Value) -> Vec<u8> {
    let descriptor =
        json!({"schema": 1, "name": "echo", "version": version, "consumers": ["input"], "producers": ["output"], "limits": limits});
    stamped(&guest(guests::ECHO), descriptor.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn requested_limits_are_granted_up_to_the_settings_and_above_them_with_a_flag() {
    let workspace = ProjectFixture::new();
    workspace.write("a.wasm", requesting("1.0.0", &json!({"memory-bytes": 192 << 20, "time-ms": 30_000})));
    workspace.write("b.wasm", requesting("2.0.0", &json!({"time-ms": 30_001})));
    workspace.write("c.wasm", requesting("3.0.0", &json!({"memory-bytes": 1 << 30})));
    let weir = Weir::up_with(&workspace.path("data"), &["--set", "component.max-time=30s"]).await;
    let deploy = async |file: &str, more: &[&str]| {
        let path = workspace.path(file);
        weir.run(&[&["deploy", path.to_str().unwrap()], more].concat()).await
    };
    let granted = deploy("a.wasm", &[]).await;
    let text = String::from_utf8_lossy(&granted.stdout).into_owned();
    assert!(text.contains("granted     192.0 MiB of memory, 30 s per message"), "{text}");
    let shown = weir.must(&["components", "show", "echo@1.0.0", "--json"]).await;
    assert!(shown.contains("201326592"), "{shown}");

    let refused = deploy("b.wasm", &[]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    for words in ["limits.time-ms 30001", "at most 30000", "component.max-time", "--limit time-ms=30001"] {
        assert!(refused.status.code() == Some(65) && text.contains(words), "{text}");
    }
    let given = deploy("b.wasm", &["--limit", "time-ms=30001"]).await;
    assert!(given.status.success(), "{given:?}");

    let beyond = deploy("c.wasm", &[]).await;
    let text = String::from_utf8_lossy(&beyond.stderr).into_owned();
    assert!(beyond.status.code() == Some(65) && text.contains("`limits.memory-bytes` of the descriptor: is 1073741824"), "{text}");
}
