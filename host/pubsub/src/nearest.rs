//! Suggestions for misspelled names.

/// Longer names are not compared: the time is proportional to the product of both lengths.
const MAX_COUNT: usize = 128;

/// The name nearest to the given one, if it is near enough to be a suggestion: at most a third of the letters, but at least one, may be wrong,
/// missing, extra or swapped with a neighbour. Case is ignored.
pub fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let given_lower = given.to_lowercase();
    let length = given_lower.chars().count();
    if length > MAX_COUNT {
        return None;
    }
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let longer = name.chars().count().max(length);
        let distance = (longer <= MAX_COUNT).then(|| strsim::osa_distance(&given_lower, &name))?;
        (distance <= (longer / 3).max(1) && distance < longer).then_some(distance)
    };
    let known = names.filter(|name| *name != given).filter_map(|name| Some((distance(name)?, name)));
    known.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognized_and_a_different_name_is_not() {
        let names = ["fine", "coarse", "in", "redactor", "redacted"];
        for (given, meant) in [
            ("fien", Some("fine")),
            ("Fine", Some("fine")),
            ("coarsse", Some("coarse")),
            ("inn", Some("in")),
            ("redactr", Some("redactor")),
            ("one", None),
            ("fine", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names.into_iter()), meant, "{given}");
        }
        assert_eq!(nearest(&"f".repeat(10_000), names.into_iter()), None);
    }
}
