//! The demo of `./just demo`, over a few documents of this repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use weir_tests::pulsar;
use weir_tests::rabbitmq::{self, DefaultQueues};
use weir_tests::wait::before;
use weir_tests::weir::binary;
use weir_tests::{guest_path, redactor_ip_path};

use crate::project::components::component;

/// It gives up when nothing has arrived for a minute. A component may have to be built and compiled.
const LONGEST: Duration = Duration::from_secs(420);

fn run(folder: &Path, arguments: &[String]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let components = folder.join("components");
    fs::create_dir(&components).unwrap();
    for plugin in ["splitter", "redactor", "keywords"] {
        symlink(guest_path(plugin), components.join(format!("weir_{plugin}.wasm"))).unwrap();
    }
    symlink(redactor_ip_path(), components.join("weir_redactor_ip.wasm")).unwrap();
    symlink(component("sdk/python/examples/splitter"), components.join("weir_splitter_python.wasm")).unwrap();
    let mut demo = Command::new("python3");
    demo.arg("-B").arg(root.join("demo/demo.py")).arg("--weir").arg(binary()).arg("--components").arg(components);
    demo.arg("--results").arg(folder.join("results")).args(arguments).arg(root.join("docs")).env("NO_COLOR", "1");
    for name in ["WEIR_BROKER_URL", "WEIR_DATA", "WEIR_GATEWAY", "WEIR_LISTEN", "WEIR_LOG", "WEIR_TOKEN"] {
        demo.env_remove(name);
    }
    demo.output().unwrap_or_else(|error| panic!("python3 does not run, which the demo is written in: {error}"))
}

async fn swaps_while_documents_flow_and_loses_nothing(arguments: Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let running = tokio::task::spawn_blocking(move || run(&path, &arguments));
    let output = before(LONGEST, "the demo", running).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    for line in [
        "redactor (fine) swapped from redactor@0.1.0 to redactor@0.2.0",
        "splitter (coarse) swapped from splitter@0.1.0 to splitter@0.2.0",
        "splitter (in Python instead of Rust)",
        "0 lost, 0 duplicated",
        "240 pieces of personal data",
    ] {
        assert!(said.contains(line), "without `{line}`:\n{said}");
    }
    for flow in ["fine", "coarse"] {
        let chunks = fs::read_to_string(folder.path().join(format!("results/chunks-{flow}.ndjson"))).unwrap();
        assert!(chunks.lines().count() > 40, "{flow} has chunks of the letters at least");
        assert!(!chunks.contains("@example.com"), "no address came out of {flow}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_swaps_under_load_and_loses_nothing() {
    swaps_while_documents_flow_and_loses_nothing(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_swaps_under_load_and_loses_nothing_on_rabbitmq() {
    let vhost = rabbitmq::Broker::shared().await.vhost(DefaultQueues::Classic).await;
    swaps_while_documents_flow_and_loses_nothing(vec!["--broker".to_owned(), vhost.url().to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_swaps_under_load_and_loses_nothing_on_pulsar() {
    let (broker, _turn) = pulsar::Broker::with_tg().await;
    let token_file = broker.token_file(pulsar::Role::Admin).unwrap().display().to_string();
    let arguments = ["--broker", &broker.url(), "--pulsar-admin", broker.admin().url(), "--token-file", &token_file];
    swaps_while_documents_flow_and_loses_nothing(arguments.map(str::to_owned).to_vec()).await;
}

#[test]
fn the_demo_requires_the_admin_api_of_a_pulsar() {
    for (arguments, expected) in [
        (&["--broker", "pulsar://127.0.0.1:1"][..], "Pulsar requires --pulsar-admin"),
        (&["--pulsar-admin", "http://127.0.0.1:1"], "require --broker pulsar://"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let output = run(folder.path(), &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
}
