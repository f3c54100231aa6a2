//! What is made on first use and shared from then on, until it fails or its owner goes.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
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

/// The place of one dispatcher.
pub(crate) struct Slot<T> {
    made: RwLock<Option<Arc<Dispatcher<T>>>>,
    /// Held by whoever makes one, so that others wait for it instead of making a second.
    making: tokio::sync::Mutex<()>,
}

impl<T> Slot<T> {
    pub(crate) fn empty() -> Self {
        Slot { made: RwLock::new(None), making: tokio::sync::Mutex::new(()) }
    }

    /// The dispatcher that is there, or a new one.
    pub(crate) async fn get(&self, make: impl Future<Output = Result<Dispatcher<T>>>) -> Result<Arc<Dispatcher<T>>> {
        if let Some(made) = self.current() {
            return Ok(made);
        }
        let _alone = self.making.lock().await;
        if let Some(made) = self.current() {
            return Ok(made);
        }
        let made = Arc::new(make.await?);
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }

    /// Empties the place of one that failed, unless another is there by now.
    pub(crate) fn forget(&self, failed: &Arc<Dispatcher<T>>) {
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *made = None;
        }
    }

    fn current(&self) -> Option<Arc<Dispatcher<T>>> {
        self.made.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
