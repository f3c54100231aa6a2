//! Shared producers and requesters.

use std::ops::Deref;
use std::sync::Arc;

use weir_pubsub::{Producer, Requester};

use crate::metrics::open::Opened;

/// Sends to an interface.
pub(crate) type SharedProducer = Arc<Dispatcher<Box<dyn Producer>>>;
/// Sends requests to an interface.
pub(crate) type SharedRequester = Arc<Dispatcher<Requester>>;

/// A producer or requester, counted while it lives.
pub(crate) struct Dispatcher<T> {
    way: T,
    _counted: Opened,
}

impl<T> Dispatcher<T> {
    pub(crate) fn new(way: T, counted: Opened) -> Self {
        Dispatcher { way, _counted: counted }
    }
}

impl<T> Deref for Dispatcher<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.way
    }
}
