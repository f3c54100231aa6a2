//! Counts the open resources of the gateway: connections to the broker, and streams of its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::text::Text;

/// The kind of an open resource.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// Sends to a `flow` interface.
    Producer,
    /// Sends requests to a `request` interface, and holds a subscription to its answers.
    Requester,
    /// A WebSocket with many requests.
    Socket,
    /// An import into a flow.
    Import,
    /// A WebSocket that exports messages from a flow.
    Export,
    /// A tap.
    Tap,
    /// Takes messages out of an exit.
    Exit,
}

const DISPATCHERS: [(What, &str); 2] = [(What::Producer, "producer"), (What::Requester, "requester")];
const STREAMS: [(What, &str); 5] =
    [(What::Socket, "socket"), (What::Import, "import"), (What::Export, "export"), (What::Tap, "tap"), (What::Exit, "exit")];

/// Counts of open resources.
#[derive(Default)]
pub(crate) struct OpenCounts([AtomicU64; DISPATCHERS.len() + STREAMS.len()]);

impl OpenCounts {
    /// Counts one more until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, what: What) -> OpenGuard {
        self.count_of(what).fetch_add(1, Ordering::Relaxed);
        OpenGuard { open: self.clone(), what }
    }

    /// Writes the counts.
    pub(crate) fn write(&self, out: &mut Text) {
        let mut family = |name, help, kinds: &[(What, &str)]| {
            let mut family = out.gauge(name, help);
            for (what, kind) in kinds {
                family.sample(&[("kind", kind)], self.count_of(*what).load(Ordering::Relaxed));
            }
        };
        family(
            "weir_gateway_dispatchers",
            "Producers and requesters for interfaces of running flows, created on first use and shared.",
            &DISPATCHERS,
        );
        family("weir_gateway_streams", "Open streams of callers.", &STREAMS);
    }

    fn count_of(&self, what: What) -> &AtomicU64 {
        &self.0[what as usize]
    }
}

/// An open resource, counted until this is dropped.
pub(crate) struct OpenGuard {
    open: Arc<OpenCounts>,
    what: What,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.open.count_of(self.what).fetch_sub(1, Ordering::Relaxed);
    }
}
