//! The output of `deploy/secrets.sh`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::folder;

/// A folder created by the script.
pub(super) struct Secrets(TempDir);

fn run(folder_name: &std::path::Path, names: &[&str]) -> Output {
    Command::new(folder().join("secrets.sh")).arg(folder_name).args(names).output().unwrap()
}

impl Secrets {
    /// For a gateway with these names.
    pub(super) fn of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = run(&folder.path().join("secrets"), names);
        assert!(output.status.success(), "secrets.sh: {}", String::from_utf8_lossy(&output.stderr));
        Secrets(folder)
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("secrets").join(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The token of a scope.
    pub(super) fn token(&self, scope: &str) -> String {
        let tokens = self.read("tokens");
        let line = tokens.lines().find_map(|line| line.strip_prefix(scope)).unwrap_or_else(|| panic!("no token of scope {scope}"));
        line.trim().to_owned()
    }
}

#[test]
fn secrets_are_private_and_never_overwritten() {
    let secrets = Secrets::of(&["gateway.example", "10.0.0.5"]);
    for entry in fs::read_dir(secrets.path("")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
    }
    let tokens = secrets.read("tokens");
    assert_eq!(tokens.lines().count(), 3);
    assert_eq!(secrets.read("host-token").trim(), format!("read {}", secrets.token("read")));
    let again = run(&secrets.path(""), &["gateway.example"]);
    assert!(!again.status.success());
    assert_eq!(secrets.read("tokens"), tokens);
    assert_eq!(run(&secrets.path("other"), &[]).status.code(), Some(64));
    // The broker is set up with the credentials that the roles use.
    let (broker, rabbitmq) = (secrets.read("broker.env"), secrets.read("rabbitmq.env"));
    let password = rabbitmq.lines().find_map(|line| line.strip_prefix("RABBITMQ_DEFAULT_PASS=")).unwrap();
    assert_eq!(broker.trim(), format!("WEIR_BROKER_URL=amqp://weir:{password}@rabbitmq:5672/weir"));
}
