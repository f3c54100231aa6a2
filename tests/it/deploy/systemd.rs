//! The systemd units.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::roles::Site;
use weir_tests::weir::binary;

use super::secrets::Secrets;
use super::start::{Start, all_accepted, become_a_weir, is_filled, own_address, variables_of};
use super::{folder, read};

const PROGRAM: &str = "/usr/local/bin/weir";

/// A unit file: its settings, section by section, in order.
struct Unit {
    name: String,
    settings: Vec<(String, String, String)>,
}

impl Unit {
    fn parse(name: &str, text: &str) -> Self {
        let (mut section, mut settings) = (String::new(), Vec::new());
        let text = text.replace("\\\n", " ");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match (line.strip_prefix('[').and_then(|line| line.strip_suffix(']')), line.split_once('=')) {
                (Some(name), _) => section = name.to_owned(),
                (None, Some((key, value))) => settings.push((section.clone(), key.to_owned(), value.to_owned())),
                (None, None) => panic!("{name}: `{line}` is neither a section nor a setting"),
            }
        }
        Unit { name: name.to_owned(), settings }
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.settings.iter().filter(|(_, found, _)| found == key).map(|(_, _, value)| value.as_str()).collect()
    }

    fn one(&self, key: &str) -> &str {
        match self.all(key)[..] {
            [value] => value,
            ref found => panic!("{}: {key} is there {} times", self.name, found.len()),
        }
    }

    /// The command that it starts, for an instance with this name if it is a template. Path specifiers are kept.
    fn start(&self, instance: &str) -> Start {
        let words: Vec<String> = self.one("ExecStart").split_whitespace().map(|word| filled(word, instance)).collect();
        let (program, arguments) = words.split_first().expect("there is a command");
        assert_eq!(program, PROGRAM, "{}", self.name);
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for file in self.all("EnvironmentFile") {
            environment.extend(variables_of(&read(&format!("systemd/{}", file.strip_prefix("/etc/weir/").unwrap()))));
        }
        environment.extend(self.all("Environment").iter().flat_map(|line| variables_of(line)));
        let environment = environment.into_iter().map(|(name, value)| (name, filled(&value, instance))).collect();
        let name = self.name.trim_end_matches(".service").replace('@', &format!("-{instance}"));
        Start { name, arguments: arguments.to_vec(), environment }
    }
}

fn filled(text: &str, instance: &str) -> String {
    text.replace("%i", instance).replace("%l", "machine").replace("%S", "/var/lib")
}

fn units() -> Vec<Unit> {
    let files = fs::read_dir(folder().join("systemd")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter(|name| name.ends_with(".service")).collect();
    names.sort();
    assert_eq!(names, ["weir-config.service", "weir-flow.service", "weir-gateway.service", "weir-host@.service"]);
    names.iter().map(|name| Unit::parse(name, &read(&format!("systemd/{name}")))).collect()
}

#[test]
fn weir_accepts_what_the_units_start() {
    let starts: Vec<Start> = units().iter().map(|unit| unit.start("1")).collect();
    all_accepted(&starts);
}

#[test]
fn every_file_of_the_units_exists_or_is_explained() {
    let page = read("README.md");
    for unit in units() {
        let credentials: Vec<(&str, &str)> = unit.all("LoadCredential").iter().map(|line| line.split_once(':').unwrap()).collect();
        let values: Vec<&str> = unit.settings.iter().map(|(_, _, value)| value.as_str()).collect();
        for word in values.iter().flat_map(|value| value.split([' ', ':', '='])) {
            if let Some(name) = word.strip_prefix("/etc/weir/") {
                let is_there = is_filled(&folder().join("systemd").join(name)) || page.contains(&format!("/etc/weir/{name}"));
                assert!(is_there, "{}: {word} is neither in deploy/systemd nor explained in deploy/README.md", unit.name);
            }
            if let Some(name) = word.strip_prefix("%d/") {
                assert!(credentials.iter().any(|(credential, _)| *credential == name), "{}: {word} is not loaded", unit.name);
            }
        }
        // The data folder is the one that systemd creates for its user.
        let data = variables_of(&unit.all("Environment").join("\n")).remove("WEIR_DATA").unwrap();
        assert_eq!(data, format!("%S/{}", unit.one("StateDirectory")), "{}", unit.name);
        assert!(unit.one("User") == "weir" && read("systemd/sysusers.conf").contains("u weir "), "{}", unit.name);
    }
}

#[test]
fn units_reload_only_where_weir_reloads_files() {
    for unit in units() {
        let rereads = unit.one("ExecStart").contains("--token-file /etc/weir/") && unit.one("ExecStart").contains(" gateway ");
        assert_eq!(unit.all("ExecReload").is_empty(), !rereads, "{}: SIGHUP ends what has no file to reread", unit.name);
    }
}

/// Runs if systemd is installed. The other tests check on every machine what these units mean to Weir.
#[test]
fn systemd_accepts_the_units() {
    let copies = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for unit in units() {
        // It looks for the program, which is not installed.
        let text = read(&format!("systemd/{}", unit.name)).replace(PROGRAM, binary().to_str().unwrap());
        let path = copies.path().join(&unit.name);
        fs::write(&path, text).unwrap();
        verify.arg(path);
    }
    match verify.output() {
        Ok(output) => {
            let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success() && said.trim().is_empty(), "{said}");
        }
        Err(error) => println!("systemd-analyze is not on this machine ({error}): the units were parsed by this test alone"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_units_are_a_weir_of_two_hosts() {
    let address = own_address();
    let secrets = Secrets::of(&[&address]);
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let site = Site::on(vhost.url());
    let settings = read("systemd/settings.toml").replace("amqp://weir:PASSWORD@rabbit.example:5672/weir", vhost.url());
    assert!(settings.contains(vhost.url()), "the settings file has no URL to replace");
    fs::write(secrets.path("settings.toml"), settings).unwrap();
    let files = format!("{}/", secrets.path("").display().to_string().trim_end_matches('/'));
    let here = [("/etc/weir/", files.as_str()), ("%d/", &files), ("0.0.0.0", &address), ("gateway.example", &address)];
    let mut starts = Vec::new();
    for unit in units() {
        let instances: &[&str] = if unit.name.contains('@') { &["1", "2"] } else { &["1"] };
        starts.extend(instances.iter().map(|instance| unit.start(instance).with(&here)));
    }
    become_a_weir(&site, &starts, &format!("https://{address}:8088"), &secrets).await;
}
