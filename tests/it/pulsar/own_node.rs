//! Nodes of a test's own, which are killed and stopped.

mod cluster;
mod faults;
