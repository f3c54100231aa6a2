//! The similarity of two terms.

/// Terms that are more similar than this count as one: "chunks" and "chunk s", not "chunk" and "chunks".
const LIMIT: f64 = 0.9;

/// Whether two terms differ in less than a tenth of their characters.
pub(crate) fn is_alike(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let longer = one.len().max(other.len()) as f64;
    // The distance is at least the difference of the lengths.
    let could_be = |distance: usize| 1.0 - distance as f64 / longer > LIMIT;
    longer == 0.0 || (could_be(one.len().abs_diff(other.len())) && could_be(distance(&one, &other)))
}

/// The Levenshtein distance: how many characters must be inserted, removed or changed.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, d) in other.iter().enumerate() {
            let changed = diagonal + usize::from(c != d);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_counted_in_characters() {
        for (one, other, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("größe", "grosse", 3), ("ab", "ba", 2)] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(distance(&chars(one), &chars(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn long_terms_that_differ_in_one_letter_are_similar() {
        assert!(is_alike("message processor", "message processors"));
        assert!(!is_alike("message", "messages"));
        assert!(!is_alike("a", "message processor"));
    }
}
