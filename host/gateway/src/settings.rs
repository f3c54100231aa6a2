//! Settings: access to the gateway, and its limits, each with its reason.

use std::time::Duration;

use crate::tls::TlsServer;
use crate::tokens::Tokens;

/// Access to the gateway; limits on what callers may send and how long they may wait.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The tokens of callers. Without them, programs of this machine may do everything, and web pages nothing.
    pub tokens: Option<Tokens>,
    /// TLS of its port; none: it is spoken to without.
    pub tls: Option<TlsServer>,
    /// Connections that are open at once, those that became WebSockets aside: well below the 1,024 file descriptors that a process has by
    /// default, of which the broker needs some. A bounded number of further ones waits.
    pub max_connections_count: usize,
    /// Idle time-out of a connection, also for sending a request's head: tolerates pauses, closes idle connections.
    pub idle_timeout: Duration,
    /// A JSON body, or a list of messages in one body. Above a message's own limit (4 MiB), so that a list of messages fits.
    pub max_body_bytes: usize,
    /// An uploaded component. Those of languages that bring their interpreter have 20 to 40 MiB.
    pub max_component_bytes: usize,
    /// Bytes of bodies and answers that are held in memory at once, of all callers together; the first 64 KiB of each are not counted. Room for
    /// four of the largest answers.
    pub max_held_bytes: usize,
    /// How long a body may take to arrive, and a body of any number of messages may pause: an upload over a slow line, not a connection that
    /// does nothing.
    pub body_timeout: Duration,
    /// How long the config and flow services may take: a flow's stop tries for 10 s to delete a queue, and may wait its turn.
    pub service_timeout: Duration,
    /// How long the answer of a request interface may take: a processor's own limit is 60 s, and several may stand in a row.
    pub interface_timeout: Duration,
    /// WebSockets that are open at once: each holds a connection and a buffer of 128 KiB for reading.
    pub max_sockets_count: usize,
    /// Requests of one socket that are under way: enough for a busy page or script, and each may hold the largest body and answer.
    pub socket_requests_count: usize,
    /// How long output may wait for its reader, over HTTP and a WebSocket, before the connection is closed: it tolerates a pause, and closes
    /// what is never read.
    pub unread_timeout: Duration,
    /// Grace period of requests in flight when the gateway stops; then they are answered that it stops.
    pub drain_timeout: Duration,
    /// How often a silent WebSocket is pinged; the connection is closed after two unanswered pings.
    pub ping_interval: Duration,
    /// How long an import waits for room in a full queue before it gives up.
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
