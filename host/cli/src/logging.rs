//! The log on standard error, as lines for people or JSON for programs.
//!
//! Lines go through a [`Buffer`] and are written by a separate thread, so that code that logs never blocks or fails because of standard error.

mod buffer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use self::buffer::{Buffer, Output};
use crate::settings::{LOGGED, LogFormat, Settings};

/// How long to wait at the end of the process for lines that are not written yet; normally this takes milliseconds.
const LAST_LINES_TIME: Duration = Duration::from_secs(1);

/// The log of this process.
static BUFFER: Buffer = Buffer::new();
/// Whether all output to standard error goes through the buffer.
static NEVER_WAITS: AtomicBool = AtomicBool::new(false);

/// Disables the log of the RabbitMQ client library, whose errors Weir reports itself, unless the filter names its targets.
fn filter(text: &str) -> EnvFilter {
    EnvFilter::new(format!("lapin=off,async_rs=off,{text}"))
}

/// Starts logging according to the settings of `weir up`.
pub(crate) fn start(settings: &Settings) {
    let filter = filter(&settings.log_filter);
    match settings.log_format {
        LogFormat::Text => start_text(filter),
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Line).log_internal_errors(false);
            // One flat object per line, so that programs find each field by its name.
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
    NEVER_WAITS.store(start_writing().is_ok(), Ordering::Relaxed);
}

/// Starts logging for a command, which logs very little, according to `WEIR_LOG`.
pub(crate) fn start_for_commands() {
    let given = std::env::var("WEIR_LOG").ok().filter(|text| EnvFilter::try_new(text).is_ok());
    start_text(filter(given.as_deref().unwrap_or(LOGGED)));
    // Without the thread the command still works; its log is dropped and counted.
    let _ = start_writing();
}

/// Prints text on standard error, after the lines logged so far. Unlike a command, `weir up` does not wait for the reader.
pub(crate) fn print(text: &str) {
    if NEVER_WAITS.load(Ordering::Relaxed) {
        let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let plain = || anstream::adapter::strip_str(text).to_string();
        return BUFFER.push(if colours { text.to_owned() } else { plain() }.as_bytes());
    }
    BUFFER.flush(LAST_LINES_TIME);
    // If standard error is closed, the text is lost.
    drop(anstream::stderr().lock().write_all(text.as_bytes()));
}

/// Lines that were dropped since the process started.
pub(crate) fn dropped_count() -> u64 {
    BUFFER.dropped_count()
}

/// When dropped, writes the remaining lines, for up to [`LAST_LINES_TIME`].
#[must_use]
pub(crate) struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        BUFFER.flush(LAST_LINES_TIME);
    }
}

fn start_text(filter: EnvFilter) {
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    // Otherwise it would print a failed write to standard error, and panic if that fails, too.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Line).with_ansi(colours).log_internal_errors(false);
    lines.with_timer(TimeOfDay).with_target(false).init();
}

fn start_writing() -> io::Result<()> {
    std::panic::set_hook(Box::new(log_panic));
    // A duplicate, so that a blocked write does not hold a lock of the standard library.
    let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let report = |lines_count| tracing::warn!(lines_count, "log lines dropped");
    std::thread::Builder::new().name("weir-stderr".to_owned()).spawn(move || BUFFER.write_to(StandardError(file), report))?;
    Ok(())
}

/// Logs a panic like any other event. The hook of the standard library would wait for the reader of standard error.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        thread = thread.name(),
        location = info.location().map(tracing::field::display),
        error = info.payload_as_str().unwrap_or("a panic without a message"),
        backtrace,
        "panic"
    );
}

/// Receives one line; `tracing-subscriber` writes each with one call.
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BUFFER.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error itself.
struct StandardError(File);

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for StandardError {
    fn wait_until_writable(&self, within: Duration) -> io::Result<()> {
        let within = Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: within.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&within))?;
        Ok(())
    }
}

/// The time of day in UTC, in milliseconds, for people. JSON contains the full timestamp.
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
