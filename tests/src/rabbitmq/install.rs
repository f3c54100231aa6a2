//! The versions of RabbitMQ that are tested, and their installation.

use std::path::PathBuf;
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/brokers/rabbitmq.sh");

/// A version of RabbitMQ that `tests/brokers/rabbitmq.sh` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.10: the oldest that is supported.
    V3_10,
    /// 4.0.
    V4_0,
    /// 4.3: the newest that is supported.
    V4_3,
}

impl Version {
    /// The version that this test run is for: `WEIR_TEST_RABBITMQ`, by default 4.0.
    ///
    /// # Panics
    /// If the variable has another value.
    #[must_use]
    pub fn tested() -> Self {
        match std::env::var("WEIR_TEST_RABBITMQ").as_deref() {
            Err(_) | Ok("" | "4.0") => Version::V4_0,
            Ok("3.10") => Version::V3_10,
            Ok("4.3") => Version::V4_3,
            Ok(other) => panic!("WEIR_TEST_RABBITMQ is {other:?}; it must be one of: 3.10, 4.0, 4.3"),
        }
    }

    /// As the script and `WEIR_TEST_RABBITMQ` spell it, for example `4.0`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::V3_10 => "3.10",
            Version::V4_0 => "4.0",
            Version::V4_3 => "4.3",
        }
    }

    /// The folder of the installed server, which is installed first if missing. Blocks meanwhile.
    ///
    /// # Panics
    /// If it cannot be installed, with the output of the script: a test that needs a node fails without one.
    pub(super) fn installed(self) -> PathBuf {
        let output = Command::new(SCRIPT).arg(self.name()).output().expect("bash is needed to install RabbitMQ");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test starts a RabbitMQ node of its own, which cannot be installed: {said}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    }
}
