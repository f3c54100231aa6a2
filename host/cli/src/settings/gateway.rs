//! Settings of the gateway that depend on each other.

use super::fault::Fault;
use super::loaded::Loaded;

const CERT: &str = "gateway.tls-cert";
const KEY: &str = "gateway.tls-key";
const PROXY: &str = "gateway.behind-proxy";

/// Settings that conflict.
pub(super) fn check(loaded: &Loaded) -> Option<Fault> {
    let place = |name: &str| loaded.places.get(name).cloned();
    let fault = |name: &str, problem: &str| {
        Some(Fault { place: place(name)?, field: Some(name.to_owned()), problem: problem.to_owned(), allowed: None })
    };
    match (place(CERT), place(KEY)) {
        (Some(_), None) => fault(CERT, "requires gateway.tls-key: set both or none"),
        (None, Some(_)) => fault(KEY, "requires gateway.tls-cert: set both or none"),
        (Some(_), Some(_)) if loaded.settings.behind_proxy => {
            fault(PROXY, "means that the gateway does no TLS, and gateway.tls-cert that it does: remove one of the two")
        }
        _ => None,
    }
}
