//! The real binary with a Pulsar: a data folder, a separate topicspace, and an environment that names the broker.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::pulsar::{Broker, Role};
use weir_tests::wait::DEADLINE;
use weir_tests::weir::{Weir, command};

/// The environment in which commands run.
pub(super) struct WeirFixture {
    pub(super) tenant: String,
    variables: Vec<(&'static str, String)>,
    folder: tempfile::TempDir,
}

impl WeirFixture {
    /// On a broker, with this role.
    pub(super) fn on(broker: &Broker, role: Role) -> Self {
        let tenant = format!("t{:08x}", rand::random::<u32>());
        let fixture = WeirFixture { tenant: tenant.clone(), variables: Vec::new(), folder: tempfile::tempdir().unwrap() };
        let fixture = fixture.with("WEIR_BROKER_URL", &broker.url()).with("WEIR_BROKER_PULSAR_ADMIN", broker.admin().url());
        let fixture = fixture.with("WEIR_TOPICSPACE", &tenant);
        match broker.token_file(role) {
            Some(file) => fixture.with("WEIR_BROKER_TOKEN_FILE", file.to_str().unwrap()),
            None => fixture,
        }
    }

    /// Adds an environment variable; an empty one counts as unset.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.variables.push((name, value.to_owned()));
        }
        self
    }

    /// The same topicspace with another folder and environment.
    pub(super) fn again(&self) -> Self {
        WeirFixture { tenant: self.tenant.clone(), variables: self.variables.clone(), folder: tempfile::tempdir().unwrap() }
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a command that ends on its own: returns its exit code and its output in one line.
    pub(super) async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = command(&self.data(), arguments);
        let child = command.envs(self.environment()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let output = match tokio::time::timeout(DEADLINE, &mut ended).await {
            Ok(output) => output.unwrap(),
            // A command that runs forever would block the test forever.
            Err(_) => {
                kill_process(pid, Signal::KILL).unwrap();
                ended.await.unwrap()
            }
        };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.contains("eyJ"), "a token is shown: {text}");
        (output.status.code(), text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Runs a command that must end with this exit code and all of these words.
    pub(super) async fn ends(&self, case: &str, arguments: &[&str], exit: i32, words: &[&str]) -> String {
        let (code, said) = self.run(arguments).await;
        println!("{case}: weir {}\n{said}\n", arguments.join(" "));
        assert_eq!(code, Some(exit), "{case}: {said}");
        for word in words {
            assert!(said.contains(word), "{case}: no {word:?} in {said}");
        }
        said
    }

    /// `weir up`, which must exit as for a wrong setting, with one clear error.
    pub(super) async fn does_not_come_up(&self, case: &str, words: &[&str]) {
        let said = self.ends(case, &["up", "--listen", "127.0.0.1:0"], 78, words).await;
        assert!(said.matches("error:").count() == 1 && said.contains("next:"), "{case}: {said}");
    }

    /// A running Weir.
    pub(super) async fn up(&self, arguments: &[&str]) -> Weir {
        Weir::up_in(&self.data(), arguments, &self.environment()).await
    }

    /// The findings of doctor, whether or not it fails.
    pub(super) async fn doctor(&self) -> Vec<Value> {
        let (_, said) = self.run(&["doctor", "--json"]).await;
        let begin = said.find('{').unwrap();
        let document: Value = serde_json::Deserializer::from_str(&said[begin..]).into_iter().next().unwrap().unwrap();
        document["checks"].as_array().unwrap().clone()
    }

    /// One of the findings of doctor, as grade and text.
    pub(super) async fn finding(&self, check: &str) -> (String, String) {
        let all = self.doctor().await;
        let found = all.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check} in {all:?}"));
        (found["grade"].as_str().unwrap().to_owned(), format!("{} next: {}", found["what"], found["next"]))
    }

    /// Starts flows of a blueprint with one processor between `in` and `out`.
    pub(super) async fn start(&self, weir: &Weir, guest: &str, flows: &[&str]) {
        let name = guest.replace('_', "-");
        weir.must(&["deploy", guest_path(guest).to_str().unwrap()]).await;
        let blueprint = crate::cli::blueprint(&name, &json!({})).to_string();
        let file = self.folder.path().join("blueprint.json");
        std::fs::write(&file, blueprint.replace("flow:tg:", &format!("flow:{}:", self.tenant))).unwrap();
        weir.must(&["blueprint", "put", &name, file.to_str().unwrap()]).await;
        for flow in flows {
            weir.must(&["flow", "start", &name, flow]).await;
        }
    }

    /// A file of the folder with this content.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Runs a command that must fail, with all of these words.
pub(super) async fn fails(weir: &Weir, arguments: &[&str], words: &[&str]) {
    let output = weir.run(arguments).await;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).split_whitespace().collect::<Vec<_>>().join(" ");
    println!("weir {}\n{said}\n", arguments.join(" "));
    assert!(!output.status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}
