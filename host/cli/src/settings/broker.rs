//! Settings of the broker that depend on each other.

use weir_pubsub::{BROKER_KINDS, has_password};

use super::fault::{Fault, Place};
use super::list;
use super::loaded::Loaded;
use super::values::Settings;

/// Files that only TLS uses, and what is missing when one is given alone.
const TLS_FILES: [&str; 3] = ["broker.ca-file", "broker.certificate-file", "broker.key-file"];

/// Settings that conflict.
pub(super) fn check(loaded: &Loaded) -> Vec<Fault> {
    let (broker, kind) = (&loaded.settings.broker, loaded.settings.broker.kind());
    let place = |name: &str| loaded.places.get(name).cloned();
    let fault = |name: &str, problem: &str| {
        let place = place(name)?;
        Some(Fault { place, field: Some(name.to_owned()), problem: problem.to_owned(), allowed: None })
    };
    let of_another_broker = BROKER_KINDS.iter().filter(|other| other.name != kind.name).flat_map(|other| {
        let problem = format!("applies only to {}: set broker.url to {}, or remove it", other.name, other.url_form);
        other.settings.iter().filter_map(move |name| fault(name, &problem))
    });
    let faults: Vec<Fault> = of_another_broker.collect();
    if !faults.is_empty() {
        return faults;
    }
    if let Some((setting, meaning)) = kind.required.filter(|(setting, _)| place(setting).is_none()) {
        return fault("broker.url", &format!("{} requires {setting}, {meaning}", kind.name)).into_iter().collect();
    }
    if !broker.uses_tls() {
        let problem =
            "applies only to TLS: use `amqps://` or `pulsar+ssl://` in broker.url, or `https://` in broker.pulsar-admin, or remove it";
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

/// Applies the defaults that differ on this broker.
pub(super) fn adapt(loaded: &mut Loaded) {
    let is_set = list::find("broker.max-answer").is_some_and(|definition| loaded.place(definition).is_some());
    let Settings { broker, .. } = &mut loaded.settings;
    if let Some(bytes) = broker.kind().max_answer_bytes.filter(|_| !is_set) {
        broker.limits.max_answer_bytes = bytes;
    }
}

/// The warning about a password that other users of the machine can see, if there is one.
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
