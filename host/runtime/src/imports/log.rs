//! `log`: lines with fields.

use tracing::Level as TracingLevel;

use crate::bindings::weir::processor::log::{Host, Level};
use crate::console::LogContext;
use crate::guest::Guest;

fn level_of(level: Level) -> TracingLevel {
    match level {
        Level::Trace => TracingLevel::TRACE,
        Level::Debug => TracingLevel::DEBUG,
        Level::Info => TracingLevel::INFO,
        Level::Warn => TracingLevel::WARN,
        Level::Error => TracingLevel::ERROR,
    }
}

impl Host for Guest {
    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        Ok(LogContext::is_enabled(level_of(level)))
    }

    fn write(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.log_context.log(level_of(level), &message, &fields);
        Ok(())
    }
}
