//! Windows: how much a consumer may hold unsettled, and how much it holds.

use crate::backend::ConsumerOptions;

/// Messages and their bytes, either held or allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(super) count: u64,
    /// The size of bodies and properties.
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn add(&mut self, size_bytes: u32) {
        self.count += 1;
        self.bytes += u64::from(size_bytes);
    }

    /// Removes one message.
    pub(super) fn remove(&mut self, size_bytes: u32) {
        self.count -= 1;
        self.bytes -= u64::from(size_bytes);
    }
}

/// The window of a consumer: its bound and its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    bound: Load,
    pub(super) held: Load,
}

impl Window {
    pub(super) fn new(options: ConsumerOptions) -> Self {
        let bound = Load { count: u64::from(options.window.get()), bytes: options.window_bytes };
        Window { bound, held: Load::default() }
    }

    /// Changes the maximum number of messages; with 0 nothing fits.
    pub(super) fn set_count(&mut self, count: u64) {
        self.bound.count = count;
    }

    /// Whether one more message fits, if it is small enough.
    pub(super) fn has_room(&self) -> bool {
        self.held.count < self.bound.count && (self.held.count == 0 || self.held.bytes < self.bound.bytes)
    }

    /// Whether a message of this size fits in addition to the held ones and `more`. The first message always fits.
    pub(super) fn fits(&self, more: Load, size_bytes: u32) -> bool {
        let (count, bytes) = (self.held.count + more.count, self.held.bytes + more.bytes);
        count < self.bound.count && (count == 0 || bytes + u64::from(size_bytes) <= self.bound.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn both_bounds_apply_and_the_first_message_always_fits() {
        let options = ConsumerOptions { window: NonZeroU32::MIN.saturating_add(2), window_bytes: 10, ..ConsumerOptions::default() };
        let mut window = Window::new(options);
        assert!(window.has_room() && window.fits(Load::default(), 100));
        window.held.add(8);
        assert!(window.has_room());
        assert!(window.fits(Load::default(), 2) && !window.fits(Load::default(), 3));
        assert!(!window.fits(Load { count: 1, bytes: 1 }, 2), "beside what is taken already");
        window.held.add(2);
        assert!(!window.has_room() && !window.fits(Load::default(), 1));
        window.held.remove(8);
        window.held.remove(2);
        window.set_count(0);
        assert!(!window.has_room() && !window.fits(Load::default(), 0));
    }

    #[test]
    fn empty_messages_are_bounded_by_their_number() {
        let mut window = Window::new(ConsumerOptions { window_bytes: 0, ..ConsumerOptions::default() });
        assert!(window.fits(Load::default(), 0));
        window.held.add(0);
        assert!(!window.has_room());
    }
}
