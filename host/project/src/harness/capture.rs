//! The log of a component under test: captured where the runtime emits it, on the thread of the case.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The target under which the runtime logs what components log.
const TARGET: &str = "weir::component";

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `trace` to `error`.
    pub level: &'static str,
    /// The line.
    pub text: String,
    /// Its fields as the log shows them: `name="value"`, with spaces between.
    pub fields: String,
}

/// The lines since they were last taken.
#[derive(Clone, Default)]
pub(super) struct Capture(Arc<Mutex<Vec<LogLine>>>);

impl Capture {
    /// The subscriber to set as the thread's default.
    pub(super) fn subscriber(&self) -> impl Subscriber + Send + Sync {
        tracing_subscriber::registry().with(CaptureLayer(self.clone()))
    }

    /// The lines so far.
    pub(super) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct CaptureLayer(Capture);

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut line = LogLine { level, text: String::new(), fields: String::new() };
        event.record(&mut line);
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Visit for LogLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "line" {
            value.clone_into(&mut self.text);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "fields" {
            self.fields = format!("{value:?}");
        }
    }
}
