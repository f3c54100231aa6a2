//! The log: on standard error, as lines for people or as JSON for programs.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::settings::{LOGGED, LogFormat, Settings};

/// Begins to log as `weir up` is told to.
pub(crate) fn start(settings: &Settings) {
    let filter = EnvFilter::new(&settings.log_filter);
    match settings.log_format {
        LogFormat::Text => start_text(filter),
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
            // One flat object a line: a program finds each field by its name alone.
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
}

/// Begins to log for a command, which says nearly nothing: as `WEIR_LOG` has it.
pub(crate) fn start_for_commands() {
    start_text(EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED)));
}

fn start_text(filter: EnvFilter) {
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    lines.with_timer(TimeOfDay).with_target(false).init();
}

/// The time of day, UTC, to the millisecond: for whoever watches. JSON has the whole of it.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(writer, "{}", time_of_day(since_1970.as_millis()))
    }
}

fn time_of_day(ms_since_1970: u128) -> String {
    let ms = ms_since_1970 % 86_400_000;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_short() {
        assert_eq!(time_of_day(0), "00:00:00.000Z");
        assert_eq!(time_of_day(86_400_000 + 3_600_000 * 13 + 60_000 * 5 + 7_089), "13:05:07.089Z");
    }
}
