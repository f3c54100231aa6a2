//! The limit on the memory of an instance.

use wasmtime::ResourceLimiter;

/// The memory limit of an instance.
pub(crate) struct MemoryLimit {
    limit_bytes: u64,
    /// All linear memories of the instance together.
    pub(crate) used_bytes: u64,
    /// Their size after setup, which every new instance has.
    start_bytes: u64,
    /// The size that was requested and refused.
    pub(crate) refused_bytes: Option<u64>,
}

impl MemoryLimit {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        MemoryLimit { limit_bytes, used_bytes: 0, start_bytes: 0, refused_bytes: None }
    }

    /// Records that the instance is set up.
    pub(crate) fn note_start(&mut self) {
        self.start_bytes = self.used_bytes;
    }

    /// Whether the instance should be replaced: some languages leak the messages they send. True if half of what the limit left after setup
    /// is used.
    pub(crate) fn is_half_used(&self) -> bool {
        self.used_bytes.saturating_sub(self.start_bytes) > self.limit_bytes.saturating_sub(self.start_bytes) / 2
    }

    /// The figures, for display.
    pub(crate) fn shown(&self) -> String {
        let MemoryLimit { limit_bytes, used_bytes, start_bytes, .. } = self;
        format!("{used_bytes} bytes of memory in use, {start_bytes} of them since startup, limit {limit_bytes}")
    }

    /// The refused growth, for display.
    pub(crate) fn refusal(&self) -> Option<String> {
        let limit_bytes = self.limit_bytes;
        self.refused_bytes.map(|bytes| {
            format!("it needs {bytes} bytes of memory; the limit is {limit_bytes} (raise it: weir deploy --limit memory-bytes=N)")
        })
    }
}

/// The most table elements that an instance may have; each costs a pointer.
const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Core instances, tables and memories of one instance; a component has several of each, one for each language runtime and adapter in it.
pub(crate) const MAX_INSTANCES_COUNT: usize = 100;
pub(crate) const MAX_TABLES_COUNT: usize = 100;
pub(crate) const MAX_MEMORIES_COUNT: usize = 10;

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let used_bytes = self.used_bytes + desired.saturating_sub(current) as u64;
        if used_bytes > self.limit_bytes {
            self.refused_bytes = Some(used_bytes);
            return Ok(false);
        }
        self.used_bytes = used_bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(usize::MAX).min(MAX_TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES_COUNT
    }

    fn tables(&self) -> usize {
        MAX_TABLES_COUNT
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES_COUNT
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_over_all_memories_together() {
        let mut memory = MemoryLimit::new(100);
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.is_half_used());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(memory.is_half_used());
        assert_eq!(memory.refusal(), None);
        assert!(!memory.memory_growing(40, 70, None).unwrap());
        assert!(memory.refusal().unwrap().contains("110 bytes of memory; the limit is 100"));
        assert!(!memory.memory_growing(40, 41, Some(40)).unwrap(), "the memory's own maximum");
    }

    #[test]
    fn memory_used_at_the_start_does_not_count_as_growth() {
        let mut memory = MemoryLimit::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        memory.note_start();
        assert!(!memory.is_half_used(), "a new instance would have as much");
        assert!(memory.memory_growing(60, 80, None).unwrap());
        assert!(!memory.is_half_used());
        assert!(memory.memory_growing(80, 81, None).unwrap());
        assert!(memory.is_half_used(), "more than half of the 40 that were left");
    }
}
