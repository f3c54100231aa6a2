//! What a notify calls for: a pure function.

use std::collections::BTreeMap;

use crate::protocol::Notify;

/// Keys of a notify that are fetched one by one, at most; with more the whole types are.
const MAX_KEYS_COUNT: usize = 256;

/// The types to fetch, with the keys where only those changed.
pub(super) type Concerned = BTreeMap<String, Option<Vec<String>>>;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It tells nothing new.
    Skip,
    /// A service that begins has an older version: it may be another one, on another store.
    AskVersion,
    /// It concerns nobody here.
    MoveVersion,
    /// Something may have been missed, or everything changed.
    FetchAll,
    /// Exactly this changed since our version.
    Fetch(Concerned),
}

/// `known` tells in which version a type is known, and `None` for those that no handler wants. A type may be known in a later version than
/// ours: it was then fetched after the change that is being notified, and its handlers have it.
pub(super) fn decide(version: u64, known: impl Fn(&str) -> Option<u64>, notify: &Notify) -> Step {
    if notify.version <= version {
        let begins = notify.types.is_empty() && notify.version < version;
        return if begins { Step::AskVersion } else { Step::Skip };
    }
    if notify.version - version > 1 || notify.types.is_empty() {
        return Step::FetchAll;
    }
    let news = |config_type: &&String| known(config_type).is_some_and(|known| known < notify.version);
    let keys = notify.keys.as_ref().filter(|keys| keys.values().map(Vec::len).sum::<usize>() <= MAX_KEYS_COUNT);
    let keys_of = |config_type: &String| keys.and_then(|keys| keys.get(config_type)).filter(|keys| !keys.is_empty()).cloned();
    let concerned: Concerned = notify.types.iter().filter(news).map(|name| (name.clone(), keys_of(name))).collect();
    if concerned.is_empty() { Step::MoveVersion } else { Step::Fetch(concerned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(version: u64, types: &[&str], keys: &[(&str, &[&str])]) -> Notify {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let keys = (!keys.is_empty()).then(|| keys.iter().map(|(name, keys)| ((*name).to_owned(), texts(keys))).collect());
        Notify { version, types: texts(types), keys }
    }

    fn fetch(concerned: &[(&str, Option<&[&str]>)]) -> Step {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        Step::Fetch(concerned.iter().map(|(name, names)| ((*name).to_owned(), names.map(keys))).collect())
    }

    #[test]
    fn what_each_notify_calls_for() {
        // Ours is version 5; `a` and `b` are wanted, `late` is known in version 8 already.
        let known = |name: &str| match name {
            "a" | "b" => Some(5),
            "late" => Some(8),
            _ => None,
        };
        let many: Vec<String> = (0..=MAX_KEYS_COUNT).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (name, given, wanted) in [
            ("older", notify(4, &["a"], &[]), Step::Skip),
            ("the same", notify(5, &["a"], &[]), Step::Skip),
            ("the same, empty types", notify(5, &[], &[]), Step::Skip),
            ("older, empty types", notify(0, &[], &[]), Step::AskVersion),
            ("nobody's type", notify(6, &["x"], &[]), Step::MoveVersion),
            ("nobody's type with keys", notify(6, &["x"], &[("x", &["k"])]), Step::MoveVersion),
            ("a relevant type", notify(6, &["a"], &[]), fetch(&[("a", None)])),
            ("a relevant type of several", notify(6, &["a", "x"], &[]), fetch(&[("a", None)])),
            ("two relevant types", notify(6, &["b", "a", "a"], &[]), fetch(&[("a", None), ("b", None)])),
            ("keys", notify(6, &["a"], &[("a", &["k"])]), fetch(&[("a", Some(&["k"]))])),
            ("keys of another type", notify(6, &["a"], &[("x", &["k"])]), fetch(&[("a", None)])),
            ("no keys of a relevant type", notify(6, &["a"], &[("a", &[])]), fetch(&[("a", None)])),
            ("too many keys", notify(6, &["a"], &[("a", &many)]), fetch(&[("a", None)])),
            ("empty types", notify(6, &[], &[]), Step::FetchAll),
            ("a gap", notify(7, &["a"], &[]), Step::FetchAll),
            ("a gap at nobody's type", notify(7, &["x"], &[]), Step::FetchAll),
            ("a gap with keys", notify(u64::MAX, &["a"], &[("a", &["k"])]), Step::FetchAll),
            ("a type fetched since", notify(6, &["late"], &[]), Step::MoveVersion),
            ("a type fetched since and another", notify(6, &["late", "b"], &[]), fetch(&[("b", None)])),
        ] {
            assert_eq!(decide(5, known, &given), wanted, "{name}");
        }
    }
}
