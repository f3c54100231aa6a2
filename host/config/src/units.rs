//! Times and sizes with units: `30s`, `64MiB`.

use std::time::Duration;

/// The form of a time, for errors.
pub const A_TIME: &str = "a time must be a number with ms, s, m or h, for example 10s";
/// The form of a size, for errors.
pub const A_SIZE: &str = "a size must be a number with B, KiB, MiB, GiB or TiB, for example 64MiB";

const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Parses a time.
///
/// # Errors
/// A string that describes the form of a time.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit_ms = TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms);
    let ms = number.parse::<u64>().ok().zip(unit_ms).and_then(|(number, ms)| number.checked_mul(ms));
    ms.map(Duration::from_millis).ok_or_else(|| A_TIME.to_owned())
}

/// Parses a size in bytes.
///
/// # Errors
/// A string that describes the form of a size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit_bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
    number.parse::<u64>().ok().zip(unit_bytes).and_then(|(number, bytes)| number.checked_mul(bytes)).ok_or_else(|| A_SIZE.to_owned())
}

/// A time in the largest unit that gives a whole number.
pub fn shown_time(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    shown(ms, &TIME_UNITS, "s")
}

/// A size in the largest unit that gives a whole number.
pub fn shown_size(bytes: u64) -> String {
    shown(bytes, &SIZE_UNITS, "B")
}

fn shown(number: u64, units: &[(&str, u64)], of_zero: &str) -> String {
    match units.iter().find(|(_, unit)| number > 0 && number.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", number / unit),
        None => format!("0{of_zero}"),
    }
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_through_strings() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("90s", 90_000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(shown_time(Duration::from_millis(ms)), text);
        }
        for wrong in ["", "10", "s", "-1s", "1d", "1.5s", "99999999999999999999s", "99999999999999999h"] {
            assert_eq!(parse_time(wrong), Err(A_TIME.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn sizes_round_trip_through_strings() {
        for (text, bytes) in [("1B", 1), ("4KiB", 4096), ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("2TiB", 2 << 40), ("0B", 0)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(shown_size(bytes), text);
        }
        assert_eq!(parse_size("64 MiB"), Ok(64 << 20));
        for wrong in ["", "64", "MiB", "64MB", "64mb", "-1KiB", "99999999999999999999B", "99999999TiB"] {
            assert_eq!(parse_size(wrong), Err(A_SIZE.to_owned()), "{wrong}");
        }
    }
}
