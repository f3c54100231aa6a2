//! Log lines for standard error: a bounded buffer that never blocks, and one writer thread.
//!
//! Code that logs must not wait for the reader of the log or fail because of it. A failed write is retried; meanwhile the buffer fills, and what does
//! not fit is dropped and counted. `tracing-appender` has such a thread too, but it limits lines instead of bytes, and loses the lines of a failed
//! write without counting them.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum size of the buffer: several seconds of a busy log. A single line of any length is accepted if the buffer is empty.
const MAX_BYTES: usize = 4 << 20;
/// Maximum number of lines in the buffer: about what fits into [`MAX_BYTES`] at the usual length.
const MAX_LINES_COUNT: usize = 1 << 15;
/// Waits between attempts after a failed write. The longest is the delay until the log continues after a full disk was freed.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

thread_local! {
    /// Set in the writer thread. Its own lines are never dropped: they report how many were.
    static IS_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// Lines that were logged but not written yet.
pub(super) struct Buffer {
    inner: Mutex<Inner>,
    /// A line was added, a flush was requested, or everything is written.
    changed: Condvar,
    dropped_count: AtomicU64,
}

struct Inner {
    waiting: Vec<u8>,
    waiting_count: usize,
    /// Taken by the thread, but not written yet.
    writing_bytes: usize,
    /// Dropped, but not reported in the log yet.
    unreported_count: u64,
    /// A flush is waiting: the next attempt is immediate.
    is_hurried: bool,
}

impl Inner {
    fn has_room(&self, line_bytes: usize) -> bool {
        let bytes = self.waiting.len() + self.writing_bytes;
        bytes == 0 || (bytes + line_bytes <= MAX_BYTES && self.waiting_count < MAX_LINES_COUNT)
    }

    fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.writing_bytes == 0
    }
}

impl Buffer {
    pub(super) const fn new() -> Self {
        let inner = Inner { waiting: Vec::new(), waiting_count: 0, writing_bytes: 0, unreported_count: 0, is_hurried: false };
        Buffer { inner: Mutex::new(inner), changed: Condvar::new(), dropped_count: AtomicU64::new(0) }
    }

    /// Adds a line, or drops and counts it. Returns immediately.
    pub(super) fn push(&self, line: &[u8]) {
        let mut inner = self.lock();
        if !inner.has_room(line.len()) && !IS_WRITER.get() {
            inner.unreported_count += 1;
            self.dropped_count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        inner.waiting.extend_from_slice(line);
        inner.waiting_count += 1;
        drop(inner);
        self.changed.notify_all();
    }

    /// Lines dropped so far.
    pub(super) fn dropped_count(&self) -> u64 {
        self.dropped_count.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, for `within` at most.
    pub(super) fn flush(&self, within: Duration) {
        let mut inner = self.lock();
        inner.is_hurried = true;
        self.changed.notify_all();
        // The outcome does not matter: remaining lines cannot be written.
        let _ = self.changed.wait_timeout_while(inner, within, |inner| !inner.is_written());
    }

    /// Writes lines for the life of the process. `report` logs how many lines were dropped.
    pub(super) fn write_to(&self, mut out: impl Output, report: impl Fn(u64)) {
        IS_WRITER.set(true);
        loop {
            let chunk = self.take();
            self.write(&mut out, &chunk);
            let unreported_count = std::mem::take(&mut self.lock().unreported_count);
            if unreported_count > 0 {
                report(unreported_count);
            }
            self.lock().writing_bytes = 0;
            self.changed.notify_all();
        }
    }

    /// Waits for lines and takes all of them.
    fn take(&self) -> Vec<u8> {
        let inner = self.lock();
        let mut inner = self.changed.wait_while(inner, |inner| inner.waiting.is_empty()).unwrap_or_else(PoisonError::into_inner);
        inner.waiting_count = 0;
        inner.writing_bytes = inner.waiting.len();
        std::mem::take(&mut inner.waiting)
    }

    /// Writes all of it, with any number of attempts.
    fn write(&self, out: &mut impl Output, mut rest: &[u8]) {
        let mut wait = FIRST_WAIT;
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => self.pause(&mut wait),
                Ok(written) => {
                    rest = &rest[written..];
                    wait = FIRST_WAIT;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if out.wait_until_writable(LONGEST_WAIT).is_err() {
                        self.pause(&mut wait);
                    }
                }
                Err(_) => self.pause(&mut wait),
            }
        }
    }

    /// Waits before the next attempt, unless a flush is waiting.
    fn pause(&self, wait: &mut Duration) {
        let inner = self.lock();
        let paused = self.changed.wait_timeout_while(inner, *wait, |inner| !inner.is_hurried);
        paused.unwrap_or_else(PoisonError::into_inner).0.is_hurried = false;
        *wait = (*wait * 2).min(LONGEST_WAIT);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The destination of lines.
pub(super) trait Output: Write {
    /// Waits until a write that would block can be retried, for `within` at most.
    fn wait_until_writable(&self, within: Duration) -> io::Result<()>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    const SOON: Duration = Duration::from_secs(30);

    /// Answers each write with the next prepared result; without one it blocks, like a full pipe.
    struct Scripted {
        answers: Receiver<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let Ok(answer) = self.answers.recv() else { return Ok(bytes.len()) };
            let count = answer?.min(bytes.len());
            self.written.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output for Scripted {
        fn wait_until_writable(&self, _within: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    type Answers = SyncSender<io::Result<usize>>;
    type Written = Arc<Mutex<Vec<u8>>>;

    /// A buffer with its thread, the sender of results for its writes, and what was written.
    fn start() -> (&'static Buffer, Answers, Written) {
        let buffer: &Buffer = Box::leak(Box::new(Buffer::new()));
        let (sender, answers) = sync_channel(100);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let out = Scripted { answers, written: written.clone() };
        std::thread::spawn(move || buffer.write_to(out, |count| buffer.push(format!("dropped {count}\n").as_bytes())));
        (buffer, sender, written)
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn failed_writes_resume_where_they_stopped() {
        let (buffer, answers, written) = start();
        for answer in [Ok(3), Err(ErrorKind::StorageFull), Err(ErrorKind::WouldBlock), Err(ErrorKind::BrokenPipe), Ok(0), Ok(100)] {
            answers.send(answer.map_err(io::Error::from)).unwrap();
        }
        buffer.push(b"one line\n");
        buffer.flush(SOON);
        assert_eq!(text(&written), "one line\n");
        assert_eq!(buffer.dropped_count(), 0);
    }

    #[test]
    fn without_a_writer_the_buffer_is_bounded_in_bytes_and_in_lines() {
        let buffer = Buffer::new();
        let long = vec![b'x'; MAX_BYTES + 1];
        buffer.push(&long);
        assert_eq!((buffer.dropped_count(), buffer.lock().waiting.len()), (0, long.len()));
        buffer.push(b"x");
        assert_eq!((buffer.dropped_count(), buffer.lock().waiting.len()), (1, long.len()));
        let buffer = Buffer::new();
        (0..MAX_LINES_COUNT + 7).for_each(|_| buffer.push(b"\n"));
        assert_eq!((buffer.dropped_count(), buffer.lock().waiting.len()), (7, MAX_LINES_COUNT));
    }

    #[test]
    fn the_count_of_dropped_lines_is_written_once_writing_works_again() {
        let (buffer, answers, written) = start();
        buffer.push(b"first\n");
        let line = vec![b'x'; MAX_BYTES / 4];
        // The output is blocked: neither these calls nor the flush wait for it.
        (0..10).for_each(|_| buffer.push(&line));
        buffer.flush(Duration::from_millis(10));
        let dropped_count = buffer.dropped_count();
        assert!((6..=7).contains(&dropped_count), "{dropped_count}");
        drop(answers.send(Ok(usize::MAX)));
        (0..20).for_each(|_| drop(answers.send(Ok(usize::MAX))));
        buffer.flush(SOON);
        let text = text(&written);
        assert!(text.starts_with("first\n") && text.ends_with(&format!("dropped {dropped_count}\n")), "{}", text.len());
    }
}
