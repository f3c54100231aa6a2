//! What workers run: a program and instances of it, prepared before the switch.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::in_use::TypesHeld;
use crate::instance::Instance;
use crate::program::Program;
use crate::slots::Slots;

/// A program with ready instances.
pub(crate) struct Generation {
    pub(crate) program: Arc<Program>,
    /// By input.
    ready: Vec<Mutex<Vec<Instance>>>,
    /// The config types of the program.
    _types: TypesHeld,
}

impl Generation {
    /// `ready` has the instances of each input.
    pub(crate) fn new(program: Arc<Program>, ready: Vec<Vec<Instance>>, types: TypesHeld) -> Self {
        Generation { program, ready: ready.into_iter().map(Mutex::new).collect(), _types: types }
    }

    /// An instance for a worker of this input, if one is ready.
    pub(crate) fn take(&self, input: usize) -> Option<Instance> {
        self.ready.get(input)?.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether an instance is ready for a worker of this input.
    pub(crate) fn has_ready(&self, input: usize) -> bool {
        self.ready.get(input).is_some_and(|ready| !ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    /// Drops the instances that are ready for this input.
    pub(crate) fn drop_ready(&self, input: usize) {
        while self.take(input).is_some() {}
    }

    /// Waits for an event while no worker uses the prepared instances: they yield their slots like idle instances.
    pub(crate) async fn yielding<T>(&self, slots: &Slots, event: impl Future<Output = T>) -> T {
        tokio::pin!(event);
        loop {
            let has_ready = (0..self.ready.len()).any(|input| self.has_ready(input));
            tokio::select! {
                biased;
                happened = &mut event => return happened,
                () = slots.shortage(), if has_ready => (0..self.ready.len()).for_each(|input| self.drop_ready(input)),
            }
        }
    }
}

/// The number of workers of each input that have an instance: that many are prepared before a swap.
#[derive(Clone, Debug)]
pub(crate) struct WarmCounts(Arc<[AtomicUsize]>);

impl WarmCounts {
    pub(crate) fn new(inputs_count: usize) -> Self {
        WarmCounts((0..inputs_count).map(|_| AtomicUsize::new(0)).collect())
    }

    /// By input.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// The instance of a worker, counted while it exists.
pub(crate) struct HeldInstance {
    pub(crate) instance: Instance,
    warm: WarmCounts,
    input: usize,
}

impl HeldInstance {
    pub(crate) fn new(instance: Instance, warm: &WarmCounts, input: usize) -> Self {
        warm.0[input].fetch_add(1, Ordering::Relaxed);
        HeldInstance { instance, warm: warm.clone(), input }
    }
}

impl Drop for HeldInstance {
    fn drop(&mut self) {
        self.warm.0[self.input].fetch_sub(1, Ordering::Relaxed);
    }
}
