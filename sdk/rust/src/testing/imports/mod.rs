//! What the contract imports, as functions of the instance that is at work: the same names and types as those of a component.

pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod log;
pub(crate) mod messaging;
