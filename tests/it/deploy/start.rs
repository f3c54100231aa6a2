//! What a file of `deploy/` starts: the arguments and the environment of `weir`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use weir_tests::guest_path;
use weir_tests::roles::{Process, Role, Site};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::{binary, command};

use super::secrets::Secrets;

/// A command of `weir`, and its environment.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
}

impl Start {
    /// Why the binary does not accept it, if it does not. A role is run without a broker: it reports that only after it has accepted all
    /// arguments and settings.
    pub(super) fn fault(&self) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let mut weir = Command::new(binary());
        weir.args(&self.arguments).env_clear().envs(&self.environment).stdin(Stdio::null());
        weir.envs([("PATH", "/usr/bin:/bin"), ("NO_COLOR", "1")]).env("WEIR_DATA", folder.path());
        // They need files and a broker, which do not exist.
        for name in ["WEIR_SETTINGS", "WEIR_BROKER_URL", "WEIR_BROKER_MANAGEMENT"] {
            weir.env_remove(name);
        }
        let is_role = self.arguments.first().is_some_and(|word| word == "run");
        if !is_role {
            weir.arg("--help");
        }
        let output = weir.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let is_accepted = match is_role {
            true => output.status.code() == Some(78) && said.contains("requires a broker shared by all roles"),
            false => output.status.success(),
        };
        let unknown = self.environment.keys().find(|name| name.starts_with("WEIR_") && !variables().contains(*name));
        let unknown = unknown.map(|name| format!("{}: no setting or option has the variable {name}", self.name));
        unknown.or_else(|| (!is_accepted).then(|| format!("{}: weir {}\n{said}", self.name, self.arguments.join(" "))))
    }

    /// The role that it runs.
    fn role(&self) -> Role {
        let word = self.arguments.get(1).map(String::as_str);
        Role::ALL.into_iter().find(|role| Some(role.word()) == word).unwrap_or_else(|| panic!("{}: runs no role", self.name))
    }

    /// The same with some strings replaced: by paths and addresses of this machine.
    pub(super) fn with(&self, others: &[(&str, &str)]) -> Self {
        let replace = |text: &String| others.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to));
        Start {
            name: self.name.clone(),
            arguments: self.arguments.iter().map(replace).collect(),
            environment: self.environment.iter().map(|(name, value)| (name.clone(), replace(value))).collect(),
        }
    }

    fn run(&self, site: &Site) -> Process {
        let data = site.data(&self.name);
        fs::create_dir_all(&data).unwrap();
        let output = File::options().create(true).append(true).open(data.join("test.log")).unwrap();
        let mut weir = Command::new(binary());
        weir.args(&self.arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(&self.environment).env("WEIR_DATA", &data);
        weir.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        site.run(self.role(), &self.name, weir)
    }
}

/// Fails with everything that the binary does not accept.
pub(super) fn all_accepted(starts: &[Start]) {
    let faults: Vec<String> = starts.iter().filter_map(Start::fault).collect();
    assert!(faults.is_empty(), "weir does not accept what deploy/ starts it with:\n{}", faults.join("\n"));
}

/// The environment variables of settings and options.
fn variables() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| String::from_utf8(command(folder.path(), arguments).output().unwrap().stdout).unwrap();
    let shown: Value = serde_json::from_str(&printed(&["settings", "show", "--json"])).unwrap();
    let settings = shown["settings"].as_array().unwrap().iter().map(|setting| setting["variable"].as_str().unwrap().to_owned());
    let help = printed(&["run", "host", "--help"]);
    let words = help.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|word| word.starts_with("WEIR_"));
    settings.chain(words.map(str::to_owned)).collect()
}

/// Starts all on a broker, and waits until the gateway has both hosts, which run a component fetched from it.
pub(super) async fn become_a_weir(site: &Site, starts: &[Start], gateway: &str, secrets: &Secrets) {
    let mut processes: Vec<Process> = starts.iter().map(|start| start.run(site)).collect();
    let ask = async |arguments: &[&str]| -> Output {
        let mut weir = command(&site.data("nothing"), arguments);
        weir.env("WEIR_GATEWAY", gateway).env("WEIR_CA", secrets.path("ca.pem")).env("WEIR_TOKEN", secrets.token("deploy"));
        within(arguments.join(" "), tokio::task::spawn_blocking(move || weir.output().unwrap())).await.unwrap()
    };
    let status = async || serde_json::from_slice::<Value>(&ask(&["status", "--json"]).await.stdout).unwrap_or_default();
    let ready = eventually(DEADLINE, "the services to answer, and both hosts to report", || {
        for process in &mut processes {
            assert!(!process.has_ended(), "a role ended: {}", process.said());
        }
        async {
            let answers = ask(&["blueprint", "list"]).await.status.success();
            (answers && status().await["hosts"].as_array().map_or(0, Vec::len) == 2).then_some(())
        }
    });
    ready.await;
    let blueprint = site.data("blueprint.json");
    fs::write(&blueprint, BLUEPRINT).unwrap();
    for arguments in [
        ["deploy", guest_path("splitter").to_str().unwrap()].as_slice(),
        &["blueprint", "put", "b", blueprint.to_str().unwrap()],
        &["flow", "start", "b", "one"],
    ] {
        let output = ask(arguments).await;
        assert!(output.status.success(), "weir {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    eventually(DEADLINE, "both hosts to run the component", || async {
        let status = status().await;
        let runs = |host: &&Value| host["processors"][0]["state"] == "running";
        (status["hosts"].as_array()?.iter().filter(runs).count() == 2).then_some(())
    })
    .await;
    for process in processes.into_iter().rev() {
        assert_eq!(process.end().await.code(), Some(0));
    }
}

const BLUEPRINT: &str =
    r#"{"blueprint": {}, "flow": {"splitter:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}}}"#;

/// The lines `NAME=VALUE` of a file.
pub(super) fn variables_of(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap_or_else(|| panic!("`{line}` is not NAME=VALUE")))
        .map(|(a, b)| (a.into(), b.into()))
        .collect()
}

/// A loopback address that nothing else uses.
pub(super) fn own_address() -> String {
    let part = || rand::RngExt::random_range(&mut rand::rng(), 1..255_u8);
    format!("127.{}.{}.{}", part(), part(), part())
}

/// Whether a file exists and is not empty.
pub(super) fn is_filled(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}
