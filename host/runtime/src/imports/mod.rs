//! The imports of components: one file per interface of `wit/processor.wit`, one line each here.

mod config;
mod context;
mod log;
mod messaging;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::Processor;
use crate::guest::Guest;
pub(crate) use messaging::is_reserved;

/// Adds all imports. The standard ones of WASI are included and refuse files, addresses and variables.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    Processor::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl crate::bindings::weir::processor::delivery::Host for Guest {}
