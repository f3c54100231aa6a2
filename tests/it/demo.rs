//! The demo of `./just demo`, over a few documents of this repository.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use weir_tests::wait::before;
use weir_tests::weir::binary;
use weir_tests::{guest_path, redactor_ip_path};

/// It gives up by itself when nothing has come for a minute.
const LONGEST: Duration = Duration::from_secs(180);

fn run(folder: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let components = folder.join("components");
    fs::create_dir(&components).unwrap();
    for plugin in ["splitter", "redactor", "keywords"] {
        symlink(guest_path(plugin), components.join(format!("weir_{plugin}.wasm"))).unwrap();
    }
    symlink(redactor_ip_path(), components.join("weir_redactor_ip.wasm")).unwrap();
    let mut demo = Command::new("python3");
    demo.arg("-B").arg(root.join("demo/demo.py")).arg("--weir").arg(binary()).arg("--components").arg(components);
    demo.arg("--results").arg(folder.join("results")).arg(root.join("docs")).env("NO_COLOR", "1");
    for name in ["WEIR_DATA", "WEIR_GATEWAY", "WEIR_LISTEN", "WEIR_LOG", "WEIR_TOKEN"] {
        demo.env_remove(name);
    }
    demo.output().unwrap_or_else(|error| panic!("python3 does not run, which the demo is written in: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_swaps_while_documents_flow_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let output = before(LONGEST, "the demo", tokio::task::spawn_blocking(move || run(&path))).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}", output.status);
    for line in ["redactor (fine) is swapped from redactor@0.1.0 to redactor@0.2.0", "0 lost, 0 doubled", "240 pieces of personal data"] {
        assert!(said.contains(line), "without `{line}`:\n{said}");
    }
    for flow in ["fine", "coarse"] {
        let chunks = fs::read_to_string(folder.path().join(format!("results/chunks-{flow}.ndjson"))).unwrap();
        assert!(chunks.lines().count() > 40, "{flow} has chunks of the letters at least");
        assert!(!chunks.contains("@example.com"), "no address came out of {flow}");
    }
}
