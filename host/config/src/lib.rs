//! Versioned configuration: the service that keeps it, the client that asks, and the follower that never misses a change.

pub mod protocol;
pub mod records;
