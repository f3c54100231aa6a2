//! All settings, by section.

mod broker;
mod components;
mod gateway;
mod process;
mod store;

use super::definition::Definition;

/// All settings, in display order; those without a section come first, as TOML requires.
pub(crate) fn all() -> impl Iterator<Item = &'static Definition> + Clone {
    [process::LIST, gateway::LIST, store::LIST, broker::LIST, components::LIST].into_iter().flatten()
}

/// Finds a setting by name.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    all().find(|definition| definition.name == name)
}

/// The description of a section, for the file that `weir init` writes.
pub(crate) fn about(section: &str) -> &'static str {
    match section {
        "log" => "What `weir up` logs to standard error.",
        "host" => "The host of processors.",
        "gateway" => "The gateway: limits on the size and duration of requests.",
        "broker" => "The queues.",
        "flow" => "Flows.",
        "dead-letters" => "Messages that could not be handled.",
        "component" => "Limits of components, effective from this start, unless a deployment overrides them (`weir deploy --limit`).",
        "retry" => "How failed messages are retried, effective from this start.",
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::super::values::Settings;
    use super::*;

    #[test]
    fn every_setting_is_documented_and_has_a_valid_default() {
        for definition in all() {
            let Definition { name, doc, why, .. } = definition;
            assert!(!doc.is_empty() && !why.is_empty() && !doc.ends_with('.') && !why.ends_with('.'), "{name}");
            assert!(definition.section().is_none_or(|section| !about(section).is_empty()), "{name}");
            let default = definition.default();
            let read = definition.kind.read(&default.to_string());
            assert_eq!(read.ok(), definition.has_default().then_some(default), "{name}");
        }
    }

    #[test]
    fn each_name_and_variable_belongs_to_one_setting() {
        let names: BTreeSet<&str> = all().map(|definition| definition.name).collect();
        let variables: BTreeSet<String> = all().map(Definition::variable).collect();
        assert_eq!((names.len(), variables.len()), (all().count(), all().count()));
        let with_section = all().skip_while(|definition| definition.section().is_none());
        assert!(with_section.clone().all(|definition| definition.section().is_some()), "a file has those without a section first");
    }

    #[test]
    fn every_setting_takes_effect() {
        for definition in all() {
            let mut settings = Settings::default();
            let other = match definition.kind {
                super::super::kind::Kind::Address => "127.0.0.1:1".to_owned(),
                super::super::kind::Kind::Filter => "error".to_owned(),
                super::super::kind::Kind::Path | super::super::kind::Kind::Topicspace => "x".to_owned(),
                super::super::kind::Kind::BrokerUrl => "amqp://u:p@host".to_owned(),
                super::super::kind::Kind::GatewayUrl => "https://host:1".to_owned(),
                super::super::kind::Kind::PulsarAdminUrl => "http://host:8080".to_owned(),
                super::super::kind::Kind::ManagementUrl => "http://u:p@host:15672".to_owned(),
                super::super::kind::Kind::Word(words) => (*words.last().unwrap()).to_owned(),
                super::super::kind::Kind::Count(_, to) => to.to_string(),
                super::super::kind::Kind::Size(from, to) => {
                    let is_default = definition.default() == definition.kind.read(&format!("{to}B")).unwrap();
                    format!("{}B", if is_default { from } else { to })
                }
                super::super::kind::Kind::Time(_, to) => format!("{}ms", to.as_millis()),
            };
            let value = definition.kind.read(&other).unwrap();
            assert_ne!(definition.default(), value, "{}", definition.name);
            (definition.set)(&mut settings, &value);
            assert_eq!((definition.get)(&settings), value, "{}", definition.name);
        }
    }
}
