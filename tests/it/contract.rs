//! What `wit/processor.wit` promises to authors, observed from outside: a module per interface or rule, a guest per behaviour.

mod config;
mod faulty;
mod log;
mod patience;
mod replies;
mod requests;
pub(crate) mod service;
mod versions;
