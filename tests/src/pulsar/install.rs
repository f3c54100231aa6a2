//! The installation of the jars.

use std::path::PathBuf;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/brokers/pulsar.sh");

/// The folder of the installed broker, which is installed first if missing. Blocks meanwhile.
///
/// # Panics
/// If it cannot be installed, with the output of the script: a test that needs a node fails without one.
pub(super) fn installed() -> PathBuf {
    let output = Command::new(SCRIPT).output().expect("bash is needed to install Pulsar");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test starts a Pulsar of its own, which cannot be installed: {said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}
