//! Settings of the broker that depend on each other.

use weir_pubsub::{has_password, is_embedded};

use super::fault::{Fault, Place};
use super::{Loaded, Settings, list};

/// The largest answer on RabbitMQ unless it is set: the largest message of RabbitMQ 4 (`max_message_size`), beyond which it closes the channel.
const RABBITMQ_ANSWER_BYTES: usize = 16 << 20;
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
    if !url.starts_with("amqps:") {
        let problem = "is for TLS only: use `amqps://` in broker.url, or remove it";
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
        broker.limits.max_answer_bytes = RABBITMQ_ANSWER_BYTES;
    }
}

/// The warning about a password that other users of the machine can see; none where there is none.
pub(crate) fn exposed_password(loaded: &Loaded) -> Option<String> {
    let given = loaded.places.get("broker.url")?;
    let Place::Flag(flag) = given else { return None };
    has_password(&loaded.settings.broker.url).then(|| {
        format!(
            "the password of the broker is on the command line ({flag}), where `ps` shows it to all users of the machine: set WEIR_BROKER_URL, or \
             `url` in section [broker] of the settings file"
        )
    })
}
