//! A way to or from the broker that is shared.

use std::ops::Deref;

use crate::metrics::open::Opened;

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
