//! Settings: access control and limits of the gateway, each with its reason.

use std::time::Duration;

use crate::tls::TlsServer;
use crate::tokens::Tokens;

/// Access to the gateway, and limits on sizes and times.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The tokens of callers. Without tokens, programs on this machine may do everything and web pages nothing.
    pub tokens: Option<Tokens>,
    /// TLS of its port; `None`: no TLS.
    pub tls: Option<TlsServer>,
    /// Maximum number of open connections, excluding WebSockets: well below the default limit of 1,024 file descriptors, of which the broker needs
    /// some. A bounded number of further connections waits.
    pub max_connections_count: usize,
    /// Idle time-out of a connection, also for sending a request's head: tolerates pauses, closes idle connections.
    pub idle_timeout: Duration,
    /// Maximum size of a JSON body. Above the limit of a single message (4 MiB), so that a list of messages fits.
    pub max_body_bytes: usize,
    /// Maximum size of an uploaded component. Components that contain an interpreter have 20 to 40 MiB.
    pub max_component_bytes: usize,
    /// Maximum bytes of requests and responses in memory, for all callers together; the first 64 KiB of each are not counted. Fits four of the
    /// largest responses.
    pub max_held_bytes: usize,
    /// How long a body may take to arrive, or a stream of messages may pause: tolerates uploads over a slow network, but not idle connections.
    pub body_timeout: Duration,
    /// Time limit for the config and flow services: the stop of a flow tries for 10 s to delete a queue, and may wait for other requests.
    pub service_timeout: Duration,
    /// Time limit for the answer of a request interface: a processor's own limit is 60 s, and a request may pass several.
    pub interface_timeout: Duration,
    /// Maximum number of open WebSockets: each has a connection and a read buffer of 128 KiB.
    pub max_sockets_count: usize,
    /// Maximum number of requests in flight per socket: enough for a busy page or script; each may hold the largest body and response.
    pub socket_requests_count: usize,
    /// How long output may wait for the peer, over HTTP and WebSockets, before the connection is closed: tolerates pauses, but not a peer that never
    /// reads.
    pub unread_timeout: Duration,
    /// Shutdown grace period for requests in flight; after it, they are answered with an error.
    pub drain_timeout: Duration,
    /// How often an idle WebSocket is pinged; the connection is closed after two unanswered pings.
    pub ping_interval: Duration,
    /// How long an import waits for space in a full queue before it fails.
    pub full_queue_timeout: Duration,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            tokens: None,
            tls: None,
            max_connections_count: 512,
            idle_timeout: Duration::from_secs(60),
            max_body_bytes: 16 << 20,
            max_component_bytes: 64 << 20,
            max_held_bytes: 256 << 20,
            body_timeout: Duration::from_secs(60),
            service_timeout: Duration::from_secs(120),
            interface_timeout: Duration::from_secs(300),
            max_sockets_count: 256,
            socket_requests_count: 32,
            unread_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(30),
            full_queue_timeout: Duration::from_secs(60),
        }
    }
}
