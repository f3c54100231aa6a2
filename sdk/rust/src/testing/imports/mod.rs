//! The imports of the contract, as functions of the running instance: with the same names and types as those of a component.

pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod log;
pub(crate) mod messaging;
