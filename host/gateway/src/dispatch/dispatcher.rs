//! A way to or from the broker that is shared.

use std::ops::Deref;
use std::sync::Arc;

use weir_pubsub::{Producer, Requester};

use crate::metrics::open::Opened;

/// Sends to an interface.
pub(crate) type SharedProducer = Arc<Dispatcher<Box<dyn Producer>>>;
/// Asks an interface.
pub(crate) type SharedRequester = Arc<Dispatcher<Requester>>;

/// A way to or from the broker, counted while it lives.
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
