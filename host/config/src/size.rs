//! The total size of the configuration, which is limited so that everything can be read with one request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{ConfigError, Result};

/// The limit regardless of the broker: several copies of the configuration are in memory while it is sent and read.
pub(crate) const MAX_CONFIGURATION_BYTES: usize = 64 << 20;
/// The size of a response without its values.
const FRAME_BYTES: u64 = 256;
/// The size of the field names of one value in an answer, with quotes, braces and commas.
const FIELDS_BYTES: u64 = r#"{"type":,"key":,"value":},"#.len() as u64;
/// One part in this many of the limit is reserved for writes that complete or roll back operations.
const RESERVE_SHARE: u64 = 64;

/// The size of everything as of one version. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CachedSize(Arc<Mutex<StoreSize>>);

/// Version 0 means none.
#[derive(Debug, Default)]
struct StoreSize {
    version: u64,
    bytes: u64,
}

impl CachedSize {
    /// The size, if it is that of this version.
    pub(crate) fn of(&self, version: u64) -> Option<u64> {
        let total = self.lock();
        (total.version == version && version > 0).then_some(total.bytes)
    }

    /// Records the size as of a version.
    pub(crate) fn note(&self, version: u64, bytes: u64) {
        *self.lock() = StoreSize { version, bytes };
    }

    fn lock(&self) -> MutexGuard<'_, StoreSize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of a value in a response, in the larger of the two forms.
pub(crate) fn size_of(config_type: &str, key: &str, value: &str) -> u64 {
    FIELDS_BYTES + [config_type, key, value].into_iter().map(json_bytes).sum::<u64>()
}

/// The length of a string as JSON.
fn json_bytes(text: &str) -> u64 {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
        0..0x20 => 5,
        _ => 0,
    };
    2 + text.len() as u64 + text.bytes().map(escaped).sum::<u64>()
}

/// The capacity of the configuration that a batch may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capacity {
    /// The capacity below the reserve.
    #[default]
    Common,
    /// Including the reserve: for completing or rolling back operations, which must not fail for lack of capacity.
    Reserve,
}

/// Refuses a change after which everything would not fit into one answer. Changes that do not increase the size are always accepted, and so are,
/// within the reserve, those that complete or roll back an operation. If the size is already above the limit, because the broker's maximum answer was
/// lowered, one such change may add as much as the reserve, so that flows can be stopped, but never exceed the limit for all brokers.
pub(crate) fn check_growth(before_bytes: u64, after_bytes: u64, limit_bytes: u64, room: Capacity) -> Result<()> {
    let reserve_bytes = limit_bytes / RESERVE_SHARE;
    let most_bytes = limit_bytes.saturating_sub(FRAME_BYTES + reserve_bytes);
    let passes = match room {
        Capacity::Common => after_bytes <= most_bytes,
        Capacity::Reserve => {
            let is_small = after_bytes.saturating_sub(before_bytes) <= reserve_bytes;
            after_bytes <= most_bytes + reserve_bytes || (is_small && after_bytes <= MAX_CONFIGURATION_BYTES as u64)
        }
    };
    if passes || after_bytes <= before_bytes {
        return Ok(());
    }
    Err(ConfigError::ConfigurationTooLarge { before_bytes, after_bytes, limit_bytes: most_bytes })
}

/// The remaining size of a response, so that one that cannot be sent is not even collected.
pub(crate) struct Budget {
    left_bytes: usize,
    limit_bytes: usize,
}

impl Budget {
    pub(crate) fn of(limit_bytes: usize) -> Self {
        Budget { left_bytes: limit_bytes, limit_bytes }
    }

    pub(crate) fn spend(&mut self, texts: &[&str]) -> Result<()> {
        let size = texts.iter().map(|t| t.len()).sum();
        self.left_bytes = self.left_bytes.checked_sub(size).ok_or(ConfigError::AnswerTooLarge { limit_bytes: self.limit_bytes })?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_measured_by_its_size_in_a_response() {
        for text in ["", "plain", "\"quoted\" \\ and \u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}", "grün \u{2028}"] {
            assert_eq!(json_bytes(text), serde_json::to_string(text).unwrap().len() as u64, "{text:?}");
        }
    }

    #[test]
    fn growth_beyond_the_bound_is_refused_and_other_changes_pass() {
        let passes = |before, after, room| check_growth(before, after, 6_400 + FRAME_BYTES, room).is_ok();
        assert!(passes(0, 6_200, Capacity::Common) && !passes(0, 6_400, Capacity::Common));
        assert!(
            passes(9_000, 9_000, Capacity::Common) && passes(9_000, 8_000, Capacity::Common) && !passes(9_000, 9_001, Capacity::Common)
        );
        assert!(
            passes(6_200, 6_390, Capacity::Reserve) && passes(9_000, 9_050, Capacity::Reserve) && !passes(9_000, 9_200, Capacity::Reserve)
        );
        let most = MAX_CONFIGURATION_BYTES as u64;
        assert!(passes(most - 50, most, Capacity::Reserve) && !passes(most - 50, most + 1, Capacity::Reserve));
        let message = check_growth(10, 7_000, 6_400 + FRAME_BYTES, Capacity::Common).unwrap_err().to_string();
        assert!(message.contains("7000 bytes") && message.contains("has 10"), "{message}");
    }
}
