//! Output of components: log lines, stdout and stderr, within the deployment's log limit.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use weir_pubsub::MessageId;

/// The longest line, in bytes; longer ones are cut into several.
const MAX_LINE_BYTES: usize = 64 << 10;
/// How much of the end of stderr is kept for dead letters, in bytes.
const TAIL_BYTES: usize = 8 << 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The limit on the volume of the log, shared by all instances of a variant.
pub(crate) struct LogQuota {
    limit_bytes: u64,
    minute: Mutex<MinuteQuota>,
}

struct MinuteQuota {
    began: Instant,
    used_bytes: u64,
    dropped_count: u64,
}

impl LogQuota {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        LogQuota { limit_bytes, minute: Mutex::new(MinuteQuota { began: Instant::now(), used_bytes: 0, dropped_count: 0 }) }
    }

    /// Reserves room for a line.
    fn take(&self, bytes: usize) -> LineVerdict {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped_count = 0;
        if minute.began.elapsed() >= MINUTE {
            dropped_count = minute.dropped_count;
            *minute = MinuteQuota { began: Instant::now(), used_bytes: 0, dropped_count: 0 };
        }
        let is_kept = minute.used_bytes + bytes as u64 <= self.limit_bytes;
        match is_kept {
            true => minute.used_bytes += bytes as u64,
            false => minute.dropped_count += 1,
        }
        LineVerdict { is_kept, is_first_dropped: !is_kept && minute.dropped_count == 1, dropped_count }
    }
}

/// Whether there is room for a line.
#[derive(Debug, PartialEq, Eq)]
struct LineVerdict {
    is_kept: bool,
    /// Whether it is the first line dropped in this minute.
    is_first_dropped: bool,
    /// The number of lines dropped in the minute that just ended.
    dropped_count: u64,
}

/// The origin of log lines: the component and its message. Shared by an instance and its streams.
pub(crate) struct LogContext {
    processor: Arc<str>,
    variant: Arc<str>,
    flow: Arc<str>,
    component: Arc<str>,
    quota: Arc<LogQuota>,
    id_high: AtomicU64,
    id_low: AtomicU64,
    attempt: AtomicU32,
}

/// Logs a line at a level known only at run time.
macro_rules! log_at {
    ($level:expr, $($rest:tt)*) => {
        match $level {
            Level::ERROR => tracing::event!(target: "weir::component", Level::ERROR, $($rest)*),
            Level::WARN => tracing::event!(target: "weir::component", Level::WARN, $($rest)*),
            Level::INFO => tracing::event!(target: "weir::component", Level::INFO, $($rest)*),
            Level::DEBUG => tracing::event!(target: "weir::component", Level::DEBUG, $($rest)*),
            _ => tracing::event!(target: "weir::component", Level::TRACE, $($rest)*),
        }
    };
}

/// Fields of a component, which chooses their names freely: one string, so that they cannot be confused with Weir's own.
struct Fields<'f>(&'f [(String, String)]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl LogContext {
    pub(crate) fn new(names: [Arc<str>; 4], quota: Arc<LogQuota>) -> Self {
        let [processor, variant, flow, component] = names;
        let (id_high, id_low, attempt) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
        LogContext { processor, variant, flow, component, quota, id_high, id_low, attempt }
    }

    /// Sets the message in flight; attempt 0 means none.
    pub(crate) fn set_message(&self, id: MessageId, attempt: u32) {
        self.id_high.store((id.0 >> 64) as u64, Ordering::Relaxed);
        self.id_low.store(id.0 as u64, Ordering::Relaxed);
        self.attempt.store(attempt, Ordering::Relaxed);
    }

    /// Whether lines of this level are logged.
    pub(crate) fn is_enabled(level: Level) -> bool {
        match level {
            Level::ERROR => tracing::enabled!(target: "weir::component", Level::ERROR),
            Level::WARN => tracing::enabled!(target: "weir::component", Level::WARN),
            Level::INFO => tracing::enabled!(target: "weir::component", Level::INFO),
            Level::DEBUG => tracing::enabled!(target: "weir::component", Level::DEBUG),
            _ => tracing::enabled!(target: "weir::component", Level::TRACE),
        }
    }

    /// Logs a line with fields.
    pub(crate) fn log(&self, level: Level, line: &str, fields: &[(String, String)]) {
        if !Self::is_enabled(level) {
            return;
        }
        let line = &line[..line.floor_char_boundary(MAX_LINE_BYTES)];
        let bytes = line.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let LineVerdict { is_kept, is_first_dropped, dropped_count } = self.quota.take(bytes);
        let (processor, variant, flow, component) = (&*self.processor, &*self.variant, &*self.flow, &*self.component);
        if dropped_count > 0 {
            tracing::warn!(processor, variant, flow, component, dropped_count, "component log lines dropped in the last minute");
        }
        if is_first_dropped {
            let limit_bytes = self.quota.limit_bytes;
            tracing::warn!(processor, variant, flow, component, limit_bytes, "component log limit reached: dropping lines for this minute");
        }
        if !is_kept {
            return;
        }
        let attempt = self.attempt.load(Ordering::Relaxed);
        let message_id = (attempt > 0).then(|| tracing::field::display(self.message_id()));
        if fields.is_empty() {
            log_at!(level, processor, variant, flow, component, message_id, attempt, line, "component log");
        } else {
            let fields = tracing::field::display(Fields(fields));
            log_at!(level, processor, variant, flow, component, message_id, attempt, line, fields, "component log");
        }
    }

    fn message_id(&self) -> MessageId {
        let high = u128::from(self.id_high.load(Ordering::Relaxed));
        MessageId(high << 64 | u128::from(self.id_low.load(Ordering::Relaxed)))
    }
}

/// Stdout or stderr of an instance: logged line by line.
#[derive(Clone)]
pub(crate) struct Console(Arc<Output>);

struct Output {
    /// Whether there is output to return; checked for each message, so it must not take a lock.
    has_tail: AtomicBool,
    lines: Mutex<Lines>,
}

struct Lines {
    log_context: Arc<LogContext>,
    level: Level,
    line: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Console {
    pub(crate) fn new(log_context: Arc<LogContext>, level: Level) -> Self {
        let lines = Mutex::new(Lines { log_context, level, line: Vec::new(), tail: VecDeque::new() });
        Console(Arc::new(Output { has_tail: AtomicBool::new(false), lines }))
    }

    /// The end of the output since the last call; an unfinished line is logged as it is.
    pub(crate) fn take_tail(&self) -> String {
        let mut lines = self.lock();
        lines.end_line();
        let tail: Vec<u8> = std::mem::take(&mut lines.tail).into();
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    /// Discards the tail before the next message: output of earlier messages is not part of its failure.
    pub(crate) fn forget_tail(&self) {
        if self.0.has_tail.swap(false, Ordering::Relaxed) {
            self.lock().tail.clear();
        }
    }

    fn write(&self, bytes: &[u8]) {
        self.0.has_tail.store(true, Ordering::Relaxed);
        self.lock().write(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let excess = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.tail.extend(kept);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(MAX_LINE_BYTES) {
                if self.line.len() + piece.len() > MAX_LINE_BYTES {
                    self.end_line();
                }
                self.line.extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end();
        if !line.is_empty() {
            self.log_context.log(self.level, line, &[]);
        }
        self.line.clear();
    }
}

impl IsTerminal for Console {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Console {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Console {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for Console {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Console::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for Console {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Console {
        let name: Arc<str> = "x".into();
        let quota = Arc::new(LogQuota::new(1 << 20));
        Console::new(Arc::new(LogContext::new([name.clone(), name.clone(), name.clone(), name], quota)), Level::WARN)
    }

    #[test]
    fn the_tail_of_the_output_is_returned_once() {
        let console = console();
        console.write(b"panicked at");
        console.write(b" line 1\nnote: x");
        assert_eq!(console.take_tail(), "panicked at line 1\nnote: x");
        assert_eq!(console.take_tail(), "");
        console.write(&vec![b'y'; 3 * MAX_LINE_BYTES]);
        assert_eq!(console.take_tail().len(), TAIL_BYTES);
        assert!(console.lock().line.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn lines_above_the_limit_are_dropped_and_counted_until_the_next_minute() {
        let quota = LogQuota::new(10);
        let room = |is_kept, is_first_dropped, dropped_count| LineVerdict { is_kept, is_first_dropped, dropped_count };
        assert_eq!((quota.take(6), quota.take(6)), (room(true, false, 0), room(false, true, 0)));
        assert_eq!((quota.take(6), quota.take(4)), (room(false, false, 0), room(true, false, 0)));
        tokio::time::advance(MINUTE).await;
        assert_eq!(quota.take(6), room(true, false, 2));
    }
}
