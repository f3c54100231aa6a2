//! Deployments: config type `component`, key `NAME@VERSION`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::bounds::{self, OutOfBound};
use super::descriptor::Descriptor;
use super::grant::{self, Grant};
use super::limits::{ComponentDefaults, ComponentLimits, GivenLimits, GivenRetry, RetryPolicy};
use crate::names::deployment_key;

/// The SHA-256 of a component's bytes; as text `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
pub struct Digest([u8; 32]);

/// The string is not a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is `sha256:` and 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl Digest {
    /// Takes the result of a SHA-256.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }

    /// The 64 hexadecimal digits, fit for a file name.
    pub fn to_hex(self) -> String {
        // Optimised, since each report of a host has one or two for each of its variants.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
        let mut hex = String::with_capacity(64);
        self.0.iter().for_each(|byte| hex.extend([digit(byte >> 4), digit(byte & 15)]));
        hex
    }

    /// The first 12 digits, for people and for `weir-from`.
    pub fn short(self) -> String {
        self.to_hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(NotADigest);
        }
        let digit = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(NotADigest),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The component, as entries refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct ComponentRef {
    /// The deployment's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl ComponentRef {
    /// The config key of the deployment: `NAME@VERSION`.
    pub fn key(&self) -> String {
        deployment_key(&self.name, &self.version)
    }
}

/// A component under a name and version, with its grants and limits. Reading one checks the bounds of all its numbers, lists and strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", remote = "Self")]
pub struct ComponentRecord {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// The version of `weir:processor` that it was built against, for example `0.1.0`.
    pub world: String,
    /// The optional exports of the world that it has, for example `setup`.
    #[serde(default)]
    pub exports: Vec<String>,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Its permissions beyond its queues; none unless granted.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// The limits given at deployment. Older records contain all limits.
    #[serde(default)]
    pub limits: GivenLimits,
    /// Messages of each input handled in parallel; overrides the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Messages held unsettled by each consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// The retry policy given at deployment. Older records contain all fields.
    #[serde(default)]
    pub retry: GivenRetry,
}

impl Serialize for ComponentRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ComponentRecord::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ComponentRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(deserializer)?;
        let wrong = |OutOfBound { field, problem }| D::Error::custom(format!("field `{field}` {problem}"));
        bounds::check(&value, bounds::COMPONENT).map_err(wrong)?;
        grant::check_form(&value).map_err(wrong)?;
        if let Some(descriptor) = value.get("descriptor") {
            bounds::check(descriptor, bounds::DESCRIPTOR).map_err(|found| {
                let field = format!("descriptor.{}", found.field);
                wrong(OutOfBound { field, ..found })
            })?;
        }
        let record = ComponentRecord::deserialize(value).map_err(D::Error::custom)?;
        record.descriptor.check_workers(record.concurrency).map_err(D::Error::custom)?;
        Ok(record)
    }
}

impl ComponentRecord {
    /// The effective limits under a host's defaults.
    pub fn limits_over(&self, defaults: &ComponentDefaults) -> ComponentLimits {
        self.limits.over(&defaults.limits)
    }

    /// The effective retry policy under a host's defaults.
    pub fn retry_over(&self, defaults: &ComponentDefaults) -> RetryPolicy {
        self.retry.over(&defaults.retry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip_through_strings() {
        let digest = Digest::from_sha256([0xab; 32]);
        assert_eq!(digest.to_string(), format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.short(), "abababababab");
        assert_eq!("sha256:12".parse::<Digest>(), Err(NotADigest));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(NotADigest));
    }

    #[test]
    fn a_record_with_only_the_needed_fields_has_the_defaults() {
        let text = format!(
            r#"{{"digest": "sha256:{}", "size-bytes": 1, "world": "0.1.0", "descriptor": {{"schema": 1}}, "limits": {{"time-ms": 5}}}}"#,
            "00".repeat(32)
        );
        let record: ComponentRecord = serde_json::from_str(&text).unwrap();
        let defaults = ComponentDefaults::default();
        assert_eq!(record.limits_over(&defaults), ComponentLimits { time_ms: 5, ..Default::default() });
        assert_eq!(record.retry_over(&defaults).attempts_count, 5);
        let wrong = text.replace("\"time-ms\": 5", "\"time-ms\": 0");
        assert!(serde_json::from_str::<ComponentRecord>(&wrong).unwrap_err().to_string().contains("limits.time-ms is 0"));
        assert_eq!(serde_json::from_str::<ComponentRecord>(&serde_json::to_string(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn numbers_beyond_any_host_are_not_read() {
        let fault = |change: fn(&mut serde_json::Value)| {
            let digest = format!("sha256:{}", "00".repeat(32));
            let mut record = serde_json::json!({"digest": digest, "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1}});
            change(&mut record);
            serde_json::from_value::<ComponentRecord>(record).unwrap_err().to_string()
        };
        let range = "it must be a whole number from 1 to 1000";
        let huge = fault(|record| record["descriptor"]["concurrency"] = 4_294_967_295_u32.into());
        assert_eq!(huge, format!("field `descriptor.concurrency` is 4294967295; {range}"));
        assert_eq!(fault(|record| record["concurrency"] = 0.into()), format!("field `concurrency` is 0; {range}"));
        assert!(fault(|record| record["window"] = (1_u64 << 40).into()).contains("field `window` is 1099511627776"));
        assert!(fault(|record| record["retry"] = serde_json::json!({"first-wait-ms": u64::MAX})).contains("retry.first-wait-ms"));
        assert!(fault(|record| record["limits"] = serde_json::json!({"time-ms": 0})).contains("limits.time-ms"));
        let many = |record: &mut serde_json::Value| {
            record["concurrency"] = 1000.into();
            record["descriptor"]["consumers"] = serde_json::json!(["a", "b", "c", "d", "e"]);
        };
        assert!(fault(many).contains("is 5000; at most 4000"));
    }
}
