//! Shared producers and requesters.

use std::ops::Deref;
use std::sync::Arc;

use weir_pubsub::{Producer, Requester};

use crate::metrics::open::OpenGuard;

/// Sends to an interface.
pub(crate) type SharedProducer = Arc<Tracked<Box<dyn Producer>>>;
/// Sends requests to an interface.
pub(crate) type SharedRequester = Arc<Tracked<Requester>>;

/// A producer or requester, counted while it lives.
pub(crate) struct Tracked<T> {
    inner: T,
    _counted: OpenGuard,
}

impl<T> Tracked<T> {
    pub(crate) fn new(inner: T, counted: OpenGuard) -> Self {
        Tracked { inner, _counted: counted }
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}
