//! The limits that a component requests in its descriptor, and which of them a deployment grants automatically. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::{GivenLimits, MAX_MEMORY_BYTES};

/// Limits that a component requests; omitted ones are taken from the host's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RequestedLimits {
    /// Linear memory of an instance, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Duration of one `handle`, including waiting for replies, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
}

/// Upper bounds for what a deployment grants automatically: settings of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantableLimits {
    /// Linear memory of an instance, in bytes (`component.max-memory`).
    pub memory_bytes: u64,
    /// Duration of one `handle`, in milliseconds (`component.max-time`).
    pub time_ms: u64,
}

impl Default for GrantableLimits {
    fn default() -> Self {
        // The maximum memory of an instance, and a time after which a hung message has not blocked its queue for too long.
        GrantableLimits { memory_bytes: MAX_MEMORY_BYTES, time_ms: 300_000 }
    }
}

/// A component requests more than is granted automatically.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the component requests limits.{name} {requested}, and at most {most} is granted by default ({setting}): \
     deploy it with --limit {name}={requested}, or raise the setting"
)]
pub struct NotGranted {
    /// The limit's name.
    pub name: &'static str,
    /// The requested value.
    pub requested: u64,
    /// The most that is granted.
    pub most: u64,
    /// The setting that limits it.
    pub setting: &'static str,
}

impl RequestedLimits {
    /// Whether nothing is requested.
    pub fn is_empty(&self) -> bool {
        *self == RequestedLimits::default()
    }

    /// The limits of a deployment: given ones, otherwise those that the component requests.
    ///
    /// # Errors
    /// [`NotGranted`], naming the limit and what to do.
    pub fn granted(&self, given: &GivenLimits, most: &GrantableLimits) -> Result<GivenLimits, NotGranted> {
        let grant = |name, given: Option<u64>, requested: Option<u64>, most, setting| match (given, requested) {
            (None, Some(requested)) if requested > most => Err(NotGranted { name, requested, most, setting }),
            (given, requested) => Ok(given.or(requested)),
        };
        Ok(GivenLimits {
            memory_bytes: grant("memory-bytes", given.memory_bytes, self.memory_bytes, most.memory_bytes, "component.max-memory")?,
            time_ms: grant("time-ms", given.time_ms, self.time_ms, most.time_ms, "component.max-time")?,
            ..given.clone()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn requested_limits_are_granted_unless_given_explicitly_or_too_large() {
        let requested = RequestedLimits { memory_bytes: Some(192 << 20), time_ms: Some(30_000) };
        let most = GrantableLimits::default();
        let given = GivenLimits { time_ms: Some(5), sends_count: Some(7), ..GivenLimits::default() };
        let granted = requested.granted(&given, &most).unwrap();
        assert_eq!((granted.memory_bytes, granted.time_ms, granted.sends_count), (Some(192 << 20), Some(5), Some(7)));
        assert_eq!(RequestedLimits::default().granted(&given, &most).unwrap(), given);

        let less = GrantableLimits { time_ms: 29_999, ..most };
        let refused = requested.granted(&GivenLimits::default(), &less).unwrap_err().to_string();
        assert!(refused.contains("limits.time-ms 30000, and at most 29999") && refused.contains("--limit time-ms=30000"), "{refused}");
        assert!(requested.granted(&given, &less).is_ok(), "what is given counts");
    }
}
