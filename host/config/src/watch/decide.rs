//! The action that a notify requires: a pure function.

use std::collections::BTreeMap;

use crate::protocol::Notify;

/// Maximum number of keys of a notify that are fetched individually; with more, whole types are fetched.
const MAX_KEYS_COUNT: usize = 256;

/// The types to fetch, with the keys if only those changed.
pub(super) type ChangedTypes = BTreeMap<String, Option<Vec<String>>>;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotifyAction {
    /// There is nothing new.
    Skip,
    /// A starting service has an older version: it may be another one, with another store.
    AskVersion,
    /// No handler is interested.
    MoveVersion,
    /// Something may have been missed, or everything changed.
    FetchAll,
    /// Exactly this changed since our version.
    Fetch(ChangedTypes),
}

/// `known` returns the version at which a type is cached, and `None` for those without an interested handler. A type may be cached at a later version
/// than ours: it was then fetched after the notified change, and its handlers have it.
pub(super) fn decide(version: u64, known: impl Fn(&str) -> Option<u64>, notify: &Notify) -> NotifyAction {
    if notify.version <= version {
        let begins = notify.types.is_empty() && notify.version < version;
        return if begins { NotifyAction::AskVersion } else { NotifyAction::Skip };
    }
    if notify.version - version > 1 || notify.types.is_empty() {
        return NotifyAction::FetchAll;
    }
    let news = |config_type: &&String| known(config_type).is_some_and(|known| known < notify.version);
    let keys = notify.keys.as_ref().filter(|keys| keys.values().map(Vec::len).sum::<usize>() <= MAX_KEYS_COUNT);
    let keys_of = |config_type: &String| keys.and_then(|keys| keys.get(config_type)).filter(|keys| !keys.is_empty()).cloned();
    let changed_types: ChangedTypes = notify.types.iter().filter(news).map(|name| (name.clone(), keys_of(name))).collect();
    if changed_types.is_empty() { NotifyAction::MoveVersion } else { NotifyAction::Fetch(changed_types) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(version: u64, types: &[&str], keys: &[(&str, &[&str])]) -> Notify {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let keys = (!keys.is_empty()).then(|| keys.iter().map(|(name, keys)| ((*name).to_owned(), texts(keys))).collect());
        Notify { version, types: texts(types), keys }
    }

    fn fetch(changed_types: &[(&str, Option<&[&str]>)]) -> NotifyAction {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        NotifyAction::Fetch(changed_types.iter().map(|(name, names)| ((*name).to_owned(), names.map(keys))).collect())
    }

    #[test]
    fn each_notify_leads_to_its_step() {
        // Our version is 5; handlers are interested in `a` and `b`, and `late` is already cached at version 8.
        let known = |name: &str| match name {
            "a" | "b" => Some(5),
            "late" => Some(8),
            _ => None,
        };
        let many: Vec<String> = (0..=MAX_KEYS_COUNT).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (name, given, expected) in [
            ("older", notify(4, &["a"], &[]), NotifyAction::Skip),
            ("the same", notify(5, &["a"], &[]), NotifyAction::Skip),
            ("the same, empty types", notify(5, &[], &[]), NotifyAction::Skip),
            ("older, empty types", notify(0, &[], &[]), NotifyAction::AskVersion),
            ("an unfollowed type", notify(6, &["x"], &[]), NotifyAction::MoveVersion),
            ("an unfollowed type with keys", notify(6, &["x"], &[("x", &["k"])]), NotifyAction::MoveVersion),
            ("a relevant type", notify(6, &["a"], &[]), fetch(&[("a", None)])),
            ("a relevant type of several", notify(6, &["a", "x"], &[]), fetch(&[("a", None)])),
            ("two relevant types", notify(6, &["b", "a", "a"], &[]), fetch(&[("a", None), ("b", None)])),
            ("keys", notify(6, &["a"], &[("a", &["k"])]), fetch(&[("a", Some(&["k"]))])),
            ("keys of another type", notify(6, &["a"], &[("x", &["k"])]), fetch(&[("a", None)])),
            ("no keys of a relevant type", notify(6, &["a"], &[("a", &[])]), fetch(&[("a", None)])),
            ("too many keys", notify(6, &["a"], &[("a", &many)]), fetch(&[("a", None)])),
            ("empty types", notify(6, &[], &[]), NotifyAction::FetchAll),
            ("a gap", notify(7, &["a"], &[]), NotifyAction::FetchAll),
            ("a gap at an unfollowed type", notify(7, &["x"], &[]), NotifyAction::FetchAll),
            ("a gap with keys", notify(u64::MAX, &["a"], &[("a", &["k"])]), NotifyAction::FetchAll),
            ("a type fetched since", notify(6, &["late"], &[]), NotifyAction::MoveVersion),
            ("a type fetched since and another", notify(6, &["late", "b"], &[]), fetch(&[("b", None)])),
        ] {
            assert_eq!(decide(5, known, &given), expected, "{name}");
        }
    }
}
