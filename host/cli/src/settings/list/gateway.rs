//! Settings of the gateway.

use std::path::PathBuf;
use std::time::Duration;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "gateway.token-file",
        Kind::Path,
        (
            "A file with the tokens that clients must present, one line `SCOPE TOKEN` for each (read, operate or deploy); a token alone \
                 permits everything; without the file, the token in WEIR_TOKEN, if set; reread on SIGHUP",
            "none, since by default the gateway listens on this machine only; a token also excludes other users of the machine",
        ),
        |s| path(s.token_file.as_ref()),
        |s, value| s.token_file = Some(value.text().into()),
    )
    .flag("--token-file"),
    Definition::new(
        "gateway.tls-cert",
        Kind::Path,
        (
            "The gateway's TLS certificate, a PEM file, followed by those of intermediate CAs; reread on SIGHUP",
            "none, since by default the gateway listens on this machine only",
        ),
        |s| path(s.tls_cert.as_ref()),
        |s, value| s.tls_cert = Some(value.text().into()),
    )
    .flag("--tls-cert"),
    Definition::new(
        "gateway.tls-key",
        Kind::Path,
        ("The key of gateway.tls-cert, a PEM file without a passphrase; reread on SIGHUP", "as for gateway.tls-cert"),
        |s| path(s.tls_key.as_ref()),
        |s, value| s.tls_key = Some(value.text().into()),
    )
    .flag("--tls-key"),
    Definition::new(
        "gateway.behind-proxy",
        Kind::Word(&["no", "yes"]),
        (
            "Whether the gateway may listen on any address without TLS, because a proxy in front of it terminates TLS; a token is still \
                 required",
            "without TLS, tokens and messages can be read in transit",
        ),
        |s| Value::Text(if s.behind_proxy { "yes" } else { "no" }.to_owned()),
        |s, value| s.behind_proxy = value.text() == "yes",
    )
    .flag("--behind-proxy"),
    Definition::new(
        "gateway.max-connections",
        Kind::Count(1, 100_000),
        (
            "The maximum number of open connections, not counting WebSockets; up to 64 more wait, and health and metrics requests are still \
                 served",
            "well below the default of 1024 file descriptors per process, some of which the broker needs",
        ),
        |s| Value::Count(s.gateway.max_connections_count as u64),
        |s, value| s.gateway.max_connections_count = size(value),
    ),
    Definition::new(
        "gateway.head-time",
        Kind::Time(SECOND, HOUR),
        (
            "How long a connection may be idle between requests, or take to send a request's head, before it is closed",
            "tolerates pauses, closes idle connections",
        ),
        |s| Value::Time(s.gateway.idle_timeout),
        |s, value| s.gateway.idle_timeout = value.time(),
    ),
    Definition::new(
        "gateway.max-body",
        Kind::Size(64 << 10, 1 << 30),
        ("The largest JSON body, or list of messages in one body", "above the limit of one message, so that a list of messages fits"),
        |s| Value::Size(s.gateway.max_body_bytes as u64),
        |s, value| s.gateway.max_body_bytes = size(value),
    ),
    Definition::new(
        "gateway.max-component",
        Kind::Size(64 << 10, 1 << 30),
        ("The largest component that can be deployed", "components that include an interpreter have 20 to 40 MiB"),
        |s| Value::Size(s.gateway.max_component_bytes as u64),
        |s, value| s.gateway.max_component_bytes = size(value),
    ),
    Definition::new(
        "gateway.max-held-bytes",
        Kind::Size(1 << 20, 1 << 40),
        (
            "The maximum size of all requests and answers in memory; the first 64 KiB of each are not counted, and a request or answer that \
                 does not fit is refused with 503",
            "four of the largest answers fit",
        ),
        |s| Value::Size(s.gateway.max_held_bytes as u64),
        |s, value| s.gateway.max_held_bytes = size(value),
    ),
    Definition::new(
        "gateway.body-time",
        Kind::Time(SECOND, HOUR),
        (
            "How long a body may take to arrive; the body of an import may pause for this long and take any time in total",
            "enough for an upload over a slow line, closes connections that send nothing",
        ),
        |s| Value::Time(s.gateway.body_timeout),
        |s, value| s.gateway.body_timeout = value.time(),
    ),
    Definition::new(
        "gateway.service-time",
        Kind::Time(SECOND, HOUR),
        (
            "How long the config and flow services may take to answer",
            "stopping a flow retries the deletion of a queue for 10 s, and may have to wait for other requests",
        ),
        |s| Value::Time(s.gateway.service_timeout),
        |s, value| s.gateway.service_timeout = value.time(),
    ),
    Definition::new(
        "gateway.interface-time",
        Kind::Time(SECOND, HOUR),
        ("The time limit for the answer of a request interface", "a processor may take 60 s, and a request may pass through several"),
        |s| Value::Time(s.gateway.interface_timeout),
        |s, value| s.gateway.interface_timeout = value.time(),
    ),
    Definition::new(
        "gateway.full-time",
        Kind::Time(Duration::ZERO, HOUR),
        ("How long an import waits for space in a full queue before it fails", "enough to absorb a burst"),
        |s| Value::Time(s.gateway.full_queue_timeout),
        |s, value| s.gateway.full_queue_timeout = value.time(),
    ),
    Definition::new(
        "gateway.max-sockets",
        Kind::Count(1, 10_000),
        ("The maximum number of open WebSockets", "each uses a connection and a read buffer of 128 KiB"),
        |s| Value::Count(s.gateway.max_sockets_count as u64),
        |s, value| s.gateway.max_sockets_count = size(value),
    ),
    Definition::new(
        "gateway.socket-requests",
        Kind::Count(1, 10_000),
        (
            "The maximum number of requests in flight on one WebSocket; further ones are not read",
            "enough for a busy page or script; each may hold the largest body and answer",
        ),
        |s| Value::Count(s.gateway.socket_requests_count as u64),
        |s, value| s.gateway.socket_requests_count = size(value),
    ),
    Definition::new(
        "gateway.unread-time",
        Kind::Time(SECOND, HOUR),
        (
            "How long output may stay unread, over HTTP or a WebSocket, before the connection is closed",
            "tolerates pauses, closes connections that are never read",
        ),
        |s| Value::Time(s.gateway.unread_timeout),
        |s, value| s.gateway.unread_timeout = value.time(),
    ),
    Definition::new(
        "gateway.ping-time",
        Kind::Time(SECOND, HOUR),
        (
            "The interval at which an idle WebSocket is pinged; it is closed after two unanswered pings",
            "a broken connection is detected within a minute",
        ),
        |s| Value::Time(s.gateway.ping_interval),
        |s, value| s.gateway.ping_interval = value.time(),
    ),
];

fn path(path: Option<&PathBuf>) -> Value {
    Value::Text(path.map(|path| path.display().to_string()).unwrap_or_default())
}

fn size(value: &Value) -> usize {
    usize::try_from(value.number()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use weir_gateway::GatewaySettings;

    #[test]
    fn every_bound_of_the_gateway_can_be_set() {
        // For a new field, add a definition above and a row in docs/operating.md.
        let GatewaySettings {
            // From `gateway.token-file` or WEIR_TOKEN: a secret is not a setting.
            tokens: _,
            // From `gateway.tls-cert` and `gateway.tls-key`.
            tls: _,
            max_connections_count: _,
            idle_timeout: _,
            max_body_bytes: _,
            max_component_bytes: _,
            max_held_bytes: _,
            body_timeout: _,
            service_timeout: _,
            interface_timeout: _,
            max_sockets_count: _,
            socket_requests_count: _,
            unread_timeout: _,
            ping_interval: _,
            full_queue_timeout: _,
            // A part of the grace period.
            drain_timeout: _,
        } = GatewaySettings::default();
        assert_eq!(super::LIST.len(), 17, "one for each, files in place of what is in them, and whether a proxy is there");
    }
}
