//! A client for HTTP on loopback.

use reqwest::ClientBuilder;

use crate::wait::DEADLINE;

/// A client without a proxy, whose requests end at [`DEADLINE`]. It trusts no certificate: reading those of the system takes longer than a request.
pub fn client() -> ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).tls_certs_only([])
}
