//! Limits of strings in flows and blueprints: they are in the flow's record, which is read whenever the flow is examined, and in its entries, which
//! are in the memory of every host that serves it.

use std::collections::BTreeMap;

/// Maximum size of the description of a flow or a blueprint, in bytes: several pages of text.
pub const MAX_DESCRIPTION_BYTES: usize = 16 << 10;
/// Maximum number of parameters of a flow, or of one processor of a blueprint.
pub const MAX_PARAMETERS_COUNT: usize = 1_000;
/// Maximum size of one parameter's value, in bytes: a long prompt. Longer values belong in the configuration, under their own type.
pub const MAX_PARAMETER_BYTES: usize = 64 << 10;
/// Maximum total size of the names and values of all parameters of a flow, or of one processor of a blueprint, in bytes.
pub const MAX_PARAMETERS_BYTES: usize = 256 << 10;

/// The problem with a description, and the fix.
pub(crate) fn check_description(text: &str) -> Result<(), String> {
    if text.len() <= MAX_DESCRIPTION_BYTES {
        return Ok(());
    }
    Err(format!("the description has {} bytes; the limit is {MAX_DESCRIPTION_BYTES}: shorten it", text.len()))
}

/// The problem with the number or size of parameters, and the fix.
pub(crate) fn check_parameters(parameters: &BTreeMap<String, String>) -> Result<(), String> {
    check_count(parameters.len())?;
    if let Some((name, value)) = parameters.iter().find(|(_, value)| value.len() > MAX_PARAMETER_BYTES) {
        let name = crate::naming::shown(name);
        return Err(format!(
            "the value of `{name}` has {} bytes; the limit is {MAX_PARAMETER_BYTES}: shorten it, or keep it in the configuration (weir config put)",
            value.len()
        ));
    }
    let bytes: usize = parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_PARAMETERS_BYTES {
        return Err(format!(
            "all parameters together have {bytes} bytes; the limit is {MAX_PARAMETERS_BYTES}: shorten them, or keep them in the configuration (weir config put)"
        ));
    }
    Ok(())
}

/// The problem with the number of parameters, and the fix.
pub(crate) fn check_count(count: usize) -> Result<(), String> {
    if count <= MAX_PARAMETERS_COUNT {
        return Ok(());
    }
    Err(format!("there are {count}; the limit is {MAX_PARAMETERS_COUNT}: give fewer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: usize, bytes: usize) -> Result<(), String> {
        check_parameters(&(0..count).map(|at| (format!("{at:04}"), "x".repeat(bytes))).collect())
    }

    #[test]
    fn number_and_size_are_bounded() {
        assert_eq!((check(MAX_PARAMETERS_COUNT, 10), check(1, MAX_PARAMETER_BYTES)), (Ok(()), Ok(())));
        for (result, words) in [
            (check(MAX_PARAMETERS_COUNT + 1, 1), "there are 1001; the limit is 1000"),
            (check(1, MAX_PARAMETER_BYTES + 1), "the value of `0000` has 65537 bytes; the limit is 65536"),
            (check(5, MAX_PARAMETER_BYTES), "all parameters together have 327700 bytes; the limit is 262144"),
        ] {
            let problem = result.err().unwrap_or_default();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
