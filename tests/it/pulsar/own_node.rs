//! Separate nodes, which are killed and stopped.

mod cluster;
mod faults;
