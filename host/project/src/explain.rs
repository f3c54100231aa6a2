//! Serde's messages about keys and values, made readable and with the nearest valid name. Pure.

use weir_pubsub::nearest;

/// Serde's message about an unknown key or value, with the name that was probably meant.
pub(crate) fn explained(message: &str) -> String {
    let message = without_place(message.lines().next().unwrap_or_default());
    for (start, what) in [("unknown field `", "unknown key"), ("unknown variant `", "unknown value")] {
        let Some((given, rest)) = message.strip_prefix(start).and_then(|rest| rest.split_once('`')) else { continue };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let meant = nearest(given, known.iter().copied()).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
        let given = weir_pubsub::shown(given);
        return match known.is_empty() {
            true => format!("unknown {} `{given}`; none are allowed here", &what["unknown ".len()..]),
            false => format!("{what} `{given}`{meant}; must be one of: {}", known.join(", ")),
        };
    }
    match message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((name, _)) => format!("the key `{name}` is missing"),
        None => message.to_owned(),
    }
}

/// Errors of serde_json end with line and column; the caller shows those before the message.
fn without_place(message: &str) -> &str {
    match message.rsplit_once(" at line ") {
        Some((before, place)) if place.split(" column ").all(|number| number.parse::<u64>().is_ok()) => before,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_reported_with_a_suggestion() {
        let text = explained("unknown field `verison`, expected one of `name`, `version` at line 3 column 4");
        assert_eq!(text, "unknown key `verison`: did you mean `version`?; must be one of: name, version");
        assert_eq!(explained("unknown variant `x`, expected `rust` or `python`"), "unknown value `x`; must be one of: rust, python");
        assert_eq!(explained("missing field `name`"), "the key `name` is missing");
        assert_eq!(explained("invalid type: integer `1`, expected a string\n"), "invalid type: integer `1`, expected a string");
    }
}
