//! `compose.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::roles::Site;
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

use super::secrets::Secrets;
use super::start::{Start, all_accepted, become_a_weir, is_filled, own_address, variables_of};
use super::{folder, read};

/// The keys of the format that services use: any other is probably misspelt.
const KEYS: &[&str] = &[
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "env_file",
    "environment",
    "healthcheck",
    "hostname",
    "image",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "stop_grace_period",
    "tmpfs",
    "volumes",
];

/// The whole file, with `<<` expanded.
fn compose() -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read("compose.yaml")).unwrap_or_else(|error| panic!("compose.yaml: {error}"));
    assert_eq!(documents.len(), 1);
    merged(documents.remove(0))
}

/// Moves the keys of a map under `<<` into the map around it, unless that has them.
fn merged(yaml: Yaml) -> Yaml {
    match yaml {
        Yaml::Hash(hash) => {
            let mut all = Hash::new();
            for (key, value) in hash {
                let value = merged(value);
                match (key.as_str(), value) {
                    (Some("<<"), Yaml::Hash(others)) => others.into_iter().for_each(|(key, value)| {
                        all.entry(key).or_insert(value);
                    }),
                    (_, value) => {
                        all.insert(key, value);
                    }
                }
            }
            Yaml::Hash(all)
        }
        Yaml::Array(all) => Yaml::Array(all.into_iter().map(merged).collect()),
        other => other,
    }
}

/// The services by their names.
fn services(compose: &Yaml) -> BTreeMap<String, Yaml> {
    let services = compose["services"].as_hash().expect("there are services");
    services.iter().map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone())).collect()
}

fn texts(yaml: &Yaml) -> Vec<String> {
    match yaml {
        Yaml::String(text) => vec![text.clone()],
        Yaml::Array(all) => all.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("{text:?} is not a string")).to_owned()).collect(),
        Yaml::BadValue => Vec::new(),
        other => panic!("{other:?} is neither a string nor a list of strings"),
    }
}

fn is_weir(service: &Yaml) -> bool {
    service["image"].as_str().is_some_and(|image| image.starts_with("weir:"))
}

fn environment(service: &Yaml) -> BTreeMap<String, String> {
    let pairs = service["environment"].as_hash().cloned().unwrap_or_default();
    pairs.into_iter().map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap())).collect()
}

/// The commands of Weir's services.
fn starts(compose: &Yaml) -> Vec<Start> {
    let weirs = services(compose).into_iter().filter(|(_, service)| is_weir(service));
    weirs.map(|(name, service)| Start { name, arguments: texts(&service["command"]), environment: environment(&service) }).collect()
}

fn roles(compose: &Yaml) -> Vec<Start> {
    starts(compose).into_iter().filter(|start| start.arguments[0] == "run").collect()
}

#[test]
fn weir_accepts_what_the_services_run() {
    let compose = compose();
    let mut all = starts(&compose);
    for (name, service) in services(&compose).into_iter().filter(|(_, service)| is_weir(service)) {
        if let [kind, program, arguments @ ..] = &texts(&service["healthcheck"]["test"])[..] {
            assert_eq!((kind.as_str(), program.as_str()), ("CMD", "weir"), "{name}");
            all.push(Start {
                name: format!("the health check of {name}"),
                arguments: arguments.to_vec(),
                environment: environment(&service),
            });
        }
    }
    all_accepted(&all);
    let mut roles: Vec<String> = roles(&compose).iter().map(|start| start.arguments[1].clone()).collect();
    roles.sort();
    assert_eq!(roles, ["config", "flow", "flow", "gateway", "host", "host"]);
}

#[test]
fn services_have_everything_that_their_commands_name() {
    let (compose, secrets) = (compose(), Secrets::of(&["gateway"]));
    let declared = |what: &str| -> BTreeSet<String> {
        compose[what].as_hash().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let (volumes, secret_names) = (declared("volumes"), declared("secrets"));
    for name in &secret_names {
        let file = compose["secrets"][name.as_str()]["file"].as_str().unwrap().to_owned();
        assert!(is_filled(&secrets.path(file.strip_prefix("secrets/").unwrap())), "secrets.sh does not make {file}");
    }
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        let unknown: Vec<&Yaml> = service.as_hash().unwrap().keys().filter(|key| !KEYS.contains(&key.as_str().unwrap())).collect();
        assert!(unknown.is_empty(), "{name} has {unknown:?}");
        for file in texts(&service["env_file"]) {
            assert!(!variables_of(&secrets.read(file.strip_prefix("secrets/").unwrap())).is_empty(), "{name}: {file}");
        }
        let mounted: Vec<String> = texts(&service["volumes"]).iter().map(|volume| volume.split(':').next().unwrap().to_owned()).collect();
        for volume in mounted {
            assert!(volumes.contains(&volume), "{name}: volume {volume} is not declared");
            assert!(used.insert(volume.clone()), "{name}: another service has the data folder {volume}, too");
        }
        let given = texts(&service["secrets"]);
        let named = texts(&service["command"]).into_iter().chain(environment(&service).into_values());
        let named: Vec<String> = named.filter_map(|word| Some(word.split_once("/run/secrets/")?.1.to_owned())).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>(), named.iter().collect::<BTreeSet<_>>(), "{name}: secrets given and used");
        assert!(given.iter().all(|secret| secret_names.contains(secret)), "{name}: a secret is not declared");
        if texts(&service["command"]).first().is_some_and(|word| word == "run") {
            assert!(texts(&service["volumes"])[0].ends_with(":/var/lib/weir"), "{name} has no data folder");
        }
    }
    assert_eq!(used, volumes, "volumes used and declared");
}

#[test]
fn images_are_built_here_or_pinned() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().unwrap();
        let (_, tag) = image.split_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        if is_weir(&service) {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{name}");
            let context = folder().join(service["build"]["context"].as_str().unwrap());
            assert!(is_filled(&context.join(service["build"]["dockerfile"].as_str().unwrap())), "{name}: its Dockerfile");
        } else {
            assert!(tag.split('.').count() == 3, "{name}: {image} is not one version");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_are_a_weir_of_two_hosts() {
    let address = own_address();
    let (compose, secrets) = (compose(), Secrets::of(&[&address]));
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let site = Site::on(vhost.url());
    let here = [
        ("/run/secrets/", format!("{}/", secrets.path("").display().to_string().trim_end_matches('/'))),
        ("0.0.0.0:", format!("{address}:")),
        ("https://gateway:", format!("https://{address}:")),
        ("http://rabbitmq:15672", Broker::shared().await.management_url().to_owned()),
    ];
    let here: Vec<(&str, &str)> = here.iter().map(|(from, to)| (*from, to.as_str())).collect();
    let mut starts: Vec<Start> = roles(&compose).iter().map(|start| start.with(&here)).collect();
    for start in &mut starts {
        start.environment.insert("WEIR_BROKER_URL".to_owned(), vhost.url().to_owned());
    }
    become_a_weir(&site, &starts, &format!("https://{address}:8088"), &secrets).await;
}
