//! What waits for the commit thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::embedded::lock::lock;
use crate::embedded::state::Operation;

/// Operations in the order in which they were asked for.
///
/// It is bounded from outside: settles by the windows of the consumers, publishes by permits, everything else by its callers, who wait.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    operations: Vec<Operation>,
    closed: bool,
    /// The thread sleeps and must be woken; saves the system call when it does not.
    sleeping: bool,
}

/// What the commit thread finds.
#[derive(Debug)]
pub(crate) enum Next {
    Operations(Vec<Operation>),
    /// Nothing came within the time.
    Idle,
    /// Nothing comes any more.
    Closed,
}

impl Inbox {
    /// Adds an operation; gives it back when the broker is closed.
    pub(crate) fn submit(&self, operation: Operation) -> Result<(), Operation> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(operation);
        }
        inner.operations.push(operation);
        self.filled(inner);
        Ok(())
    }

    /// Adds operations that are found together; gives them back when the broker is closed.
    pub(crate) fn submit_all(&self, operations: Vec<Operation>) -> Result<(), Vec<Operation>> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(operations);
        }
        inner.operations.extend(operations);
        self.filled(inner);
        Ok(())
    }

    /// Wakes the thread where it sleeps.
    fn filled(&self, mut inner: MutexGuard<'_, Inner>) {
        if std::mem::take(&mut inner.sleeping) {
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// No operation is accepted any more; what was is still done.
    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.filled.notify_one();
    }

    /// Closes it and drops what waits: its callers hear that the outcome is unknown.
    pub(crate) fn abandon(&self) {
        let dropped = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            std::mem::take(&mut inner.operations)
        };
        drop(dropped);
    }

    /// Waits for operations, at most `patience` if that is given.
    pub(crate) fn next(&self, patience: Option<Duration>) -> Next {
        let mut inner = lock(&self.inner);
        loop {
            if !inner.operations.is_empty() {
                return Next::Operations(std::mem::take(&mut inner.operations));
            }
            if inner.closed {
                return Next::Closed;
            }
            inner.sleeping = true;
            match patience {
                None => inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (guard, timeout) = self.filled.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
                    inner = guard;
                    if timeout.timed_out() && inner.operations.is_empty() && !inner.closed {
                        inner.sleeping = false;
                        return Next::Idle;
                    }
                }
            }
            inner.sleeping = false;
        }
    }
}
