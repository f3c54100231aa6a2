//! Records as the configuration holds them.

/// A record as config holds it.
pub(super) fn json(record: &impl serde::Serialize) -> String {
    serde_json::to_string(record).expect("maps with string keys and plain fields always become JSON")
}
