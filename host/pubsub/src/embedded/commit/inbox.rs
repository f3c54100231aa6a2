//! The inbox of the commit thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::embedded::state::Operation;
use crate::lock::lock;

/// Operations in the order of the calls.
///
/// Its size is bounded elsewhere: settles by the windows of consumers, publishes by admission, and all others because their callers wait.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    operations: Vec<Operation>,
    closed: bool,
    /// Whether the thread sleeps and must be woken; saves the system call otherwise.
    sleeping: bool,
}

/// The result of waiting for the inbox.
#[derive(Debug)]
pub(super) enum Next {
    Operations(Vec<Operation>),
    /// Nothing arrived in time.
    Idle,
    /// The inbox is closed and empty.
    Closed,
}

impl Inbox {
    /// Adds an operation; returns it if the inbox is closed.
    pub(crate) fn submit(&self, operation: Operation) -> Result<(), Operation> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(operation);
        }
        inner.operations.push(operation);
        self.filled(inner);
        Ok(())
    }

    /// Adds operations that the commit thread takes together; returns them if the inbox is closed.
    pub(crate) fn submit_all(&self, operations: Vec<Operation>) -> Result<(), Vec<Operation>> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(operations);
        }
        inner.operations.extend(operations);
        self.filled(inner);
        Ok(())
    }

    /// Wakes the thread if it sleeps.
    fn filled(&self, mut inner: MutexGuard<'_, Inner>) {
        if std::mem::take(&mut inner.sleeping) {
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Accepts no more operations; those accepted before are still executed.
    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.filled.notify_one();
    }

    /// Closes it and drops all waiting operations: their callers get `OutcomeUnknown`.
    pub(super) fn abandon(&self) {
        let dropped = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            std::mem::take(&mut inner.operations)
        };
        drop(dropped);
    }

    /// Waits for operations, for `time_to_next` at most if that is given.
    pub(super) fn next(&self, time_to_next: Option<Duration>) -> Next {
        let mut inner = lock(&self.inner);
        loop {
            if !inner.operations.is_empty() {
                return Next::Operations(std::mem::take(&mut inner.operations));
            }
            if inner.closed {
                return Next::Closed;
            }
            inner.sleeping = true;
            match time_to_next {
                None => inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(time_to_next) => {
                    let (guard, timeout) = self.filled.wait_timeout(inner, time_to_next).unwrap_or_else(PoisonError::into_inner);
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
