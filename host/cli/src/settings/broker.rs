//! Settings of the broker that depend on each other.

use weir_pubsub::{has_password, is_embedded, is_pulsar};

use super::fault::{Fault, Place};
use super::{Loaded, Settings, list};

/// The largest answer on RabbitMQ unless it is set: the largest message of RabbitMQ 4 (`max_message_size`), beyond which it closes the channel.
const RABBITMQ_ANSWER_BYTES: usize = 16 << 20;
/// The same on Pulsar: the largest message (`maxMessageSize`) without what it has beside its body.
const PULSAR_ANSWER_BYTES: usize = (5 << 20) - (64 << 10);
/// Files that only TLS uses, and what is missing when one is given alone.
const TLS_FILES: [&str; 3] = ["broker.ca-file", "broker.certificate-file", "broker.key-file"];

/// What does not go together.
pub(super) fn check(loaded: &Loaded) -> Vec<Fault> {
    let url = &loaded.settings.broker.url;
    let place = |name: &str| loaded.places.get(name).cloned();
    let fault = |name: &str, problem: &str| {
        let place = place(name)?;
        Some(Fault { place, field: Some(name.to_owned()), problem: problem.to_owned(), allowed: None })
    };
    if is_embedded(url) && loaded.settings.broker.management.is_some() {
        let problem = "is for a RabbitMQ: set broker.url to amqp://USER:PASSWORD@HOST:PORT/VHOST, or remove it";
        return fault("broker.management", problem).into_iter().collect();
    }
    if is_embedded(url) || !is_pulsar(url) {
        let problem = "is for a Pulsar: set broker.url to pulsar://HOST:PORT, or remove it";
        let faults: Vec<Fault> = ["broker.pulsar-admin", "broker.token-file"].iter().filter_map(|name| fault(name, problem)).collect();
        if !faults.is_empty() {
            return faults;
        }
    } else if loaded.settings.broker.management.is_some() {
        let problem = "is for a RabbitMQ: the API of a Pulsar is broker.pulsar-admin; remove it";
        return fault("broker.management", problem).into_iter().collect();
    } else if loaded.settings.broker.pulsar.admin.is_none() {
        let problem =
            "Pulsar needs broker.pulsar-admin, the address of its admin API, which makes and deletes queues: set it to http://HOST:8080";
        return fault("broker.url", problem).into_iter().collect();
    }
    let is_encrypted_api = loaded.settings.broker.pulsar.admin.as_ref().is_some_and(|api| api.starts_with("https:"));
    if !url.starts_with("amqps:") && !url.starts_with("pulsar+ssl:") && !is_encrypted_api {
        let problem =
            "is for TLS only: use `amqps://` or `pulsar+ssl://` in broker.url, or `https://` in broker.pulsar-admin, or remove it";
        return TLS_FILES.iter().filter_map(|name| fault(name, problem)).collect();
    }
    let [_, certificate, key] = TLS_FILES;
    let alone = match (place(certificate), place(key)) {
        (Some(_), None) => fault(certificate, "requires broker.key-file: set both or none"),
        (None, Some(_)) => fault(key, "requires broker.certificate-file: set both or none"),
        _ => None,
    };
    alone.into_iter().collect()
}

/// Sets what has another default on this broker.
pub(super) fn adapt(loaded: &mut Loaded) {
    let is_set = list::find("broker.max-answer").is_some_and(|definition| loaded.place(definition).is_some());
    let Settings { broker, .. } = &mut loaded.settings;
    if !is_set && !is_embedded(&broker.url) {
        broker.limits.max_answer_bytes = if is_pulsar(&broker.url) { PULSAR_ANSWER_BYTES } else { RABBITMQ_ANSWER_BYTES };
    }
}

/// The warning about a password that other users of the machine can see; none where there is none.
pub(crate) fn exposed_password(loaded: &Loaded) -> Option<String> {
    let exposed = |name: &str, url: &str, variable: &str| {
        let Some(Place::Flag(flag)) = loaded.places.get(name) else { return None };
        has_password(url).then(|| {
            format!(
                "the password of the broker is on the command line ({flag}), where `ps` shows it to all users of the machine: set {variable}, or \
                 `{}` in section [broker] of the settings file",
                name.trim_start_matches("broker.")
            )
        })
    };
    let broker = &loaded.settings.broker;
    let management = broker.management.as_deref().unwrap_or_default();
    exposed("broker.url", &broker.url, "WEIR_BROKER_URL").or_else(|| exposed("broker.management", management, "WEIR_BROKER_MANAGEMENT"))
}
