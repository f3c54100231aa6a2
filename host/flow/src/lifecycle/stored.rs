//! Records as stored in the configuration.

/// A record as stored in the configuration.
pub(super) fn json(record: &impl serde::Serialize) -> String {
    serde_json::to_string(record).expect("maps with string keys and plain fields always become JSON")
}
