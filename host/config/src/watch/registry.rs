//! The handlers of a follower, and its externally visible state.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use super::change::{Change, Handler};

/// The id of a handler of one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerId(u64);

/// The status of a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerStatus {
    /// The version that all handlers have; 0 until the first fetch was applied.
    pub version: u64,
    /// Why the configuration cannot be fetched at the moment; fetching is retried.
    pub fetch_error: Option<String>,
    /// The errors of handlers at the last change.
    pub handler_errors: BTreeMap<HandlerId, String>,
}

pub(super) struct Registered {
    pub(super) id: HandlerId,
    /// `None` for a handler of everything.
    pub(super) types: Option<BTreeSet<String>>,
    /// Prefixes of further types.
    pub(super) prefix: Option<String>,
    handler: Handler,
}

impl Registered {
    pub(super) fn is_interested_in_any<'a>(&self, mut types: impl Iterator<Item = &'a String>) -> bool {
        self.types.as_ref().is_none_or(|interest| types.any(|name| interest.contains(name) || self.has_prefix_of(name)))
    }

    /// Whether it is interested in a type by prefix.
    pub(super) fn has_prefix_of(&self, name: &str) -> bool {
        self.prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix))
    }
}

/// The state shared by a follower and its handles.
#[derive(Default)]
pub(super) struct Shared {
    handlers: Mutex<BTreeMap<HandlerId, Arc<Registered>>>,
    next_id: AtomicU64,
    changed: Notify,
    version: watch::Sender<u64>,
    status: watch::Sender<FollowerStatus>,
}

impl Shared {
    pub(super) fn handlers(&self) -> Vec<Arc<Registered>> {
        self.lock().values().cloned().collect()
    }

    /// Waits until handlers were added or removed since it last returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Calls a handler unless it was unregistered meanwhile.
    pub(super) async fn call(&self, registered: &Registered, change: Change) {
        if !self.lock().contains_key(&registered.id) {
            return;
        }
        // A panicking handler must not affect the others.
        let called = AssertUnwindSafe(async { (registered.handler)(change).await }).catch_unwind().await;
        let failure = match called {
            Ok(result) => result.err(),
            Err(_) => Some("the handler panicked".to_owned()),
        };
        if let Some(error) = &failure {
            tracing::error!(handler = registered.id.0, error, "config handler failed");
        }
        // The error of a handler that was removed during its call would never be cleared.
        let failure = failure.filter(|_| self.lock().contains_key(&registered.id));
        self.status.send_if_modified(|status| {
            let before = status.handler_errors.remove(&registered.id);
            let changed = before != failure;
            status.handler_errors.extend(failure.map(|error| (registered.id, error)));
            changed
        });
    }

    pub(super) fn set_version(&self, version: u64) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.version, version) != version);
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// Shows why the configuration is not followed. Returns whether the reason has changed.
    pub(super) fn show_fetch_error(&self, what: &str, error: &dyn std::error::Error) -> bool {
        self.set_fetch_error(Some(format!("{what}: {}", weir_pubsub::chain(error))))
    }

    /// Returns whether it has changed.
    pub(super) fn set_fetch_error(&self, error: Option<String>) -> bool {
        self.status.send_if_modified(|status| {
            let changed = status.fetch_error != error;
            status.fetch_error = error;
            changed
        })
    }

    fn register(&self, types: Option<BTreeSet<String>>, prefix: Option<String>, handler: Handler) -> HandlerId {
        let id = HandlerId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(id, Arc::new(Registered { id, types, prefix, handler }));
        self.changed.notify_one();
        id
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HandlerId, Arc<Registered>>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers and unregisters handlers, and observes the follower's status. Cloning is cheap.
///
/// All its methods return immediately, so handlers may use them, too.
#[derive(Clone)]
pub struct FollowerHandle {
    shared: Arc<Shared>,
}

impl FollowerHandle {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        FollowerHandle { shared }
    }

    /// Adds a handler of some types. It is called once their content is fetched, and then on each change of one of them.
    pub fn register<T, F, R>(&self, types: T, handler: F) -> HandlerId
    where
        T: IntoIterator<Item: Into<String>>,
        F: Fn(Change) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let types = types.into_iter().map(Into::into).collect();
        self.shared.register(Some(types), None, Arc::new(move |change| Box::pin(handler(change))))
    }

    /// The same, and also for all types whose names begin with `prefix`; those without values are not in the change.
    pub fn register_with_prefix<T, F, R>(&self, types: T, prefix: &str, handler: F) -> HandlerId
    where
        T: IntoIterator<Item: Into<String>>,
        F: Fn(Change) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let types = types.into_iter().map(Into::into).collect();
        self.shared.register(Some(types), Some(prefix.to_owned()), Arc::new(move |change| Box::pin(handler(change))))
    }

    /// Adds a handler that gets everything on every change.
    pub fn register_everything<F, R>(&self, handler: F) -> HandlerId
    where
        F: Fn(Change) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.shared.register(None, None, Arc::new(move |change| Box::pin(handler(change))))
    }

    /// Removes a handler: it is not called again; a call in progress completes.
    pub fn unregister(&self, id: HandlerId) {
        self.shared.lock().remove(&id);
        self.shared.status.send_if_modified(|status| status.handler_errors.remove(&id).is_some());
        self.shared.changed.notify_one();
    }

    /// The version that all handlers have; 0 until the first fetch was applied.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The status of the follower.
    pub fn status(&self) -> watch::Receiver<FollowerStatus> {
        self.shared.status.subscribe()
    }
}

impl std::fmt::Debug for FollowerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowerHandle").field("status", &*self.shared.status.borrow()).finish_non_exhaustive()
    }
}
