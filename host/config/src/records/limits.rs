//! Limits and retry policies of components: the values given by a deployment, with bounds, and the defaults.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Bounds of one instance and of one call of `handle`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentLimits {
    /// Linear memory of an instance.
    pub memory_bytes: u64,
    /// A whole `handle`, waiting for replies included.
    pub time_ms: u64,
    /// Messages sent by one `handle`.
    pub sends_count: u32,
    /// Bodies and properties sent by one `handle`.
    pub sends_bytes: u64,
    /// Log lines of one minute.
    pub log_bytes_per_minute: u64,
}

impl Default for ComponentLimits {
    fn default() -> Self {
        // 64 MiB of memory are enough to process JSON bodies of 4 MiB; the others limit what one message can cost other processors.
        ComponentLimits {
            memory_bytes: 64 << 20,
            time_ms: 60_000,
            sends_count: 1_000,
            sends_bytes: 16 << 20,
            log_bytes_per_minute: 1 << 20,
        }
    }
}

/// How failed messages are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RetryPolicy {
    /// Total attempts; then the message becomes a dead letter.
    pub attempts_count: u32,
    /// The wait after the first failure; it doubles.
    pub first_wait_ms: u64,
    /// The longest wait.
    pub longest_wait_ms: u64,
    /// All waits of one message together.
    pub waiting_ms: u64,
    /// How long a message may be answered with `busy` before it is requeued.
    pub busy_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { attempts_count: 5, first_wait_ms: 1_000, longest_wait_ms: 30_000, waiting_ms: 300_000, busy_ms: 600_000 }
    }
}

/// The values for a component whose deployment gives none: the settings of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentDefaults {
    /// Limits.
    pub limits: ComponentLimits,
    /// The retry policy for failed messages.
    pub retry: RetryPolicy,
}

/// One effective value of a component, and whether its deployment gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name, for example `memory-bytes`.
    pub name: &'static str,
    /// The effective value.
    pub value: u64,
    /// Whether the deployment gives it; otherwise it is the host's setting.
    pub is_given: bool,
}

/// A value that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It has no such name.
    #[error("`{name}` does not exist; must be one of: {known}")]
    Unknown {
        /// The given name.
        name: String,
        /// All names.
        known: String,
    },
    /// It is too small or too large.
    #[error("{section}.{name} is {value}; must be between {from} and {to}")]
    OutOfBounds {
        /// `limits` or `retry`.
        section: &'static str,
        /// Its name.
        name: &'static str,
        /// The given value.
        value: u64,
        /// The smallest value.
        from: u64,
        /// The largest value.
        to: u64,
    },
}

/// Defines the part of a struct of defaults that a deployment may give: each value is optional and bounded.
macro_rules! given {
    ($(#[$about:meta])* $given:ident of $whole:ident in $section:literal { $($(#[$doc:meta])* $field:ident: $kind:ty = $name:literal, $from:expr, $to:expr;)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub struct $given {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<u64>,)*
        }

        impl $given {
            /// The names of all values.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Checks one value by its name.
            ///
            /// # Errors
            /// [`LimitError`].
            pub fn check(name: &str, value: u64) -> Result<(), LimitError> {
                match name {
                    $($name => {
                        let (from, to) = ($from, $to);
                        let out = LimitError::OutOfBounds { section: $section, name: $name, value, from, to };
                        if (from..=to).contains(&value) { Ok(()) } else { Err(out) }
                    })*
                    _ => Err(LimitError::Unknown { name: name.escape_default().to_string(), known: Self::NAMES.join(", ") }),
                }
            }

            /// All values by their names.
            fn values(&self) -> [(&'static str, Option<u64>); [$($name),*].len()] {
                [$(($name, self.$field)),*]
            }

            /// The effective values: given ones, otherwise the defaults.
            pub fn over(&self, defaults: &$whole) -> $whole {
                // A larger number is out of bounds and was rejected when it was read.
                $whole { $($field: self.$field.map_or(defaults.$field, |value| <$kind>::try_from(value).unwrap_or(<$kind>::MAX)),)* }
            }

            /// The list of effective values.
            pub fn effective(&self, defaults: &$whole) -> Vec<Effective> {
                let whole = self.over(defaults);
                vec![$(Effective { name: $name, value: u64::from(whole.$field), is_given: self.$field.is_some() }),*]
            }

            /// Values that are given here but recorded differently or not at all, for people.
            pub fn differing(&self, recorded: &Self) -> Vec<String> {
                let pairs = self.values().into_iter().zip(recorded.values()).filter(|((_, given), (_, recorded))| given.is_some() && given != recorded);
                let shown = |((name, given), (_, recorded)): ((&str, Option<u64>), (_, Option<u64>))| {
                    let recorded = recorded.map_or_else(|| "not given".to_owned(), |value| value.to_string());
                    format!("{name} {} (recorded: {recorded})", given.unwrap_or_default())
                };
                pairs.map(shown).collect()
            }
        }

        impl<'de> Deserialize<'de> for $given {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Default, Deserialize)]
                #[serde(rename_all = "kebab-case", default)]
                struct Raw {
                    $($field: Option<u64>,)*
                }
                let raw = Raw::deserialize(deserializer)?;
                let given = $given { $($field: raw.$field),* };
                for (name, value) in given.values() {
                    value.map_or(Ok(()), |value| Self::check(name, value)).map_err(serde::de::Error::custom)?;
                }
                Ok(given)
            }
        }
    };
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The size of a WebAssembly page.
const PAGE_BYTES: u64 = 64 << 10;
/// The maximum memory of one instance in the host's pool.
pub const MAX_MEMORY_BYTES: u64 = 256 << 20;

given! {
    /// The limits of a deployment; all others are taken from the host's settings.
    GivenLimits of ComponentLimits in "limits" {
        /// Linear memory of an instance, in bytes.
        memory_bytes: u64 = "memory-bytes", PAGE_BYTES, MAX_MEMORY_BYTES;
        /// Duration of one `handle`, including waiting for replies, in milliseconds.
        time_ms: u64 = "time-ms", 1, HOUR_MS;
        /// Messages sent by one `handle`.
        sends_count: u32 = "sends-count", 1, 1_000_000;
        /// Bodies and properties sent by one `handle`, in bytes; the broker's own limit applies in addition.
        sends_bytes: u64 = "sends-bytes", 1 << 10, 1 << 30;
        /// Log output per minute, in bytes.
        log_bytes_per_minute: u64 = "log-bytes-per-minute", 0, 1 << 30;
    }
}

given! {
    /// The retry policy of a deployment; missing fields are taken from the host's settings.
    GivenRetry of RetryPolicy in "retry" {
        /// Total attempts; then the message becomes a dead letter.
        attempts_count: u32 = "attempts-count", 1, 1_000;
        /// The wait after the first failure, in milliseconds; it doubles each time.
        first_wait_ms: u64 = "first-wait-ms", 0, HOUR_MS;
        /// The longest wait in milliseconds.
        longest_wait_ms: u64 = "longest-wait-ms", 0, HOUR_MS;
        /// The total wait of one message, in milliseconds.
        waiting_ms: u64 = "waiting-ms", 0, DAY_MS;
        /// How long a message may be answered with `busy` before it is requeued, in milliseconds.
        busy_ms: u64 = "busy-ms", 0, DAY_MS;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn missing_limits_have_their_defaults() {
        let defaults = ComponentLimits { memory_bytes: 1 << 20, ..ComponentLimits::default() };
        let given: GivenLimits = serde_json::from_str(r#"{"time-ms": 5, "sends-count": null, "of-a-newer-weir": 1}"#).unwrap();
        assert_eq!(given.over(&defaults), ComponentLimits { time_ms: 5, ..defaults.clone() });
        assert_eq!(serde_json::to_string(&given).unwrap(), r#"{"time-ms":5}"#);
        let shown: Vec<_> = given.effective(&defaults).into_iter().take(2).map(|it| (it.name, it.value, it.is_given)).collect();
        assert_eq!(shown, [("memory-bytes", 1 << 20, false), ("time-ms", 5, true)]);
    }

    #[test]
    fn defaults_are_within_the_bounds_and_values_beyond_are_refused() {
        for Effective { name, value, .. } in GivenLimits::default().effective(&ComponentLimits::default()) {
            assert_eq!(GivenLimits::check(name, value), Ok(()));
        }
        for Effective { name, value, .. } in GivenRetry::default().effective(&RetryPolicy::default()) {
            assert_eq!(GivenRetry::check(name, value), Ok(()));
        }
        let refused = |text: &str| serde_json::from_str::<GivenLimits>(text).unwrap_err().to_string();
        assert!(refused(r#"{"memory-bytes": 3}"#).starts_with("limits.memory-bytes is 3; must be between 65536 and 268435456"));
        for wrong in [r#"{"memory-bytes": 268435457}"#, r#"{"time-ms": 0}"#, r#"{"time-ms": 3600001}"#, r#"{"sends-count": 5000000000}"#] {
            assert!(refused(wrong).contains("must be between"), "{wrong}");
        }
        for wrong in [r#"{"time-ms": -1}"#, r#"{"time-ms": 1.5}"#, r#"{"time-ms": "5"}"#, "3"] {
            refused(wrong);
        }
        assert!(
            serde_json::from_str::<GivenRetry>(r#"{"attempts-count": 0}"#).unwrap_err().to_string().contains("retry.attempts-count is 0")
        );
        assert!(GivenLimits::check("memory", 1).unwrap_err().to_string().contains("memory-bytes, time-ms"));
    }

    #[test]
    fn only_given_limits_can_differ() {
        let of = |text: &str| serde_json::from_str::<GivenLimits>(text).unwrap();
        let recorded = of(r#"{"time-ms": 5, "sends-count": 7}"#);
        assert!(of("{}").differing(&recorded).is_empty() && of(r#"{"time-ms": 5}"#).differing(&recorded).is_empty());
        let differing = of(r#"{"time-ms": 6, "memory-bytes": 65536}"#).differing(&recorded);
        assert_eq!(differing, ["memory-bytes 65536 (recorded: not given)", "time-ms 6 (recorded: 5)"]);
    }
}
