//! Nodes for promises that restart or block their broker: a limited number at a time, reused by later promises, since a start takes seconds of both
//! cores.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The nodes of one kind of broker.
pub(super) struct OwnNodes<N> {
    permits: Semaphore,
    idle: Mutex<Vec<N>>,
}

impl<N> OwnNodes<N> {
    /// At most this many run at a time.
    pub(super) const fn at_most(count: usize) -> Self {
        OwnNodes { permits: Semaphore::const_new(count), idle: Mutex::new(Vec::new()) }
    }

    /// An idle node, or one that `start` starts. Waits while all are in use.
    pub(super) async fn acquire<F: Future<Output = N>>(&'static self, start: impl FnOnce() -> F) -> OwnNode<N> {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let node = match idle {
            Some(node) => node,
            None => start().await,
        };
        OwnNode { node: Some(node), nodes: self, is_reusable: true, _permit: permit }
    }
}

/// A node that one promise uses. Dropping it leaves it to the next promise, unless the test failed or the node is not as it was started.
pub(super) struct OwnNode<N: 'static> {
    node: Option<N>,
    nodes: &'static OwnNodes<N>,
    is_reusable: bool,
    // Released last.
    _permit: SemaphorePermit<'static>,
}

impl<N> OwnNode<N> {
    /// Records whether the node is as it was started.
    pub(super) fn set_reusable(&mut self, is_reusable: bool) {
        self.is_reusable = is_reusable;
    }
}

impl<N> Deref for OwnNode<N> {
    type Target = N;

    fn deref(&self) -> &N {
        self.node.as_ref().expect("it is taken on drop only")
    }
}

impl<N> Drop for OwnNode<N> {
    fn drop(&mut self) {
        let node = self.node.take().filter(|_| self.is_reusable && !std::thread::panicking());
        self.nodes.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(node);
    }
}
