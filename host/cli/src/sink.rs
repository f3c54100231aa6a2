//! Standard output for data that must not be lost: tracks how much the other side has received.
//!
//! A file has what was written to it. A pipe's reader has received what is no longer in the pipe. Terminals, sockets and devices show only that a
//! write succeeded.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, SeekFrom, fstat, ftruncate, seek};
use rustix::io::{Errno, ioctl_fionread, write};
use tokio_util::sync::CancellationToken;

/// The size that a pipe with any free space accepts without blocking.
const PIECE_BYTES: usize = 4096;
/// How long a cancelled write may continue.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(100);
/// The first and the longest wait between checks whether a pipe is empty, for which there is no notification.
const FIRST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Writes never wait for a reader.
    File,
    /// It is possible to see how much was read.
    Pipe,
    /// A terminal, a socket or a device.
    Other,
}

/// An output, usually standard output.
pub(crate) struct Sink<F> {
    out: F,
    kind: Kind,
}

/// The progress of a write, visible to other threads, and whether it is cancelled.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    out_bytes: AtomicUsize,
    is_cancelled: AtomicBool,
}

impl Progress {
    /// Bytes that the other side has received.
    pub(crate) fn out_bytes(&self) -> usize {
        self.out_bytes.load(Ordering::Acquire)
    }

    /// Ends the write at the next opportunity.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }
}

/// How a write ended. In each case [`Progress`] has how much the other side has received.
#[derive(Debug)]
pub(crate) enum WriteOutcome {
    /// The other side has received everything.
    All,
    /// The other side has exited, which is not an error.
    Gone,
    /// The write was cancelled.
    Cancelled,
    /// Writing failed.
    Failed(io::Error),
}

impl<F: AsFd> Sink<F> {
    /// An output of any kind.
    ///
    /// # Errors
    /// If its type cannot be determined.
    pub(crate) fn new(out: F) -> io::Result<Self> {
        let kind = match FileType::from_raw_mode(fstat(&out)?.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Fifo => Kind::Pipe,
            _ => Kind::Other,
        };
        Ok(Sink { out, kind })
    }

    /// Writes everything, and waits until the other side has received it. Blocks the thread.
    pub(crate) fn put(&self, bytes: &[u8], progress: &Progress) -> WriteOutcome {
        let written = match self.kind {
            Kind::File => self.write_file(bytes, progress),
            Kind::Pipe | Kind::Other => self.write_pieces(bytes, progress),
        };
        match written {
            Ok(()) => WriteOutcome::All,
            Err(put) => put,
        }
    }

    /// Removes the last bytes written to a file, if nothing was written after them: a partial line is useless.
    pub(crate) fn take_back(&self, count: usize) {
        let cut = || -> rustix::io::Result<()> {
            let (at, size) = (seek(&self.out, SeekFrom::Current(0))?, fstat(&self.out)?.st_size as u64);
            if at == size && size >= count as u64 {
                ftruncate(&self.out, size - count as u64)?;
                seek(&self.out, SeekFrom::Start(size - count as u64))?;
            }
            Ok(())
        };
        if self.kind == Kind::File && count > 0 {
            // If this fails, the bytes stay: they were not acknowledged.
            let _ = cut();
        }
    }

    fn write_file(&self, bytes: &[u8], progress: &Progress) -> Result<(), WriteOutcome> {
        let mut written = 0;
        while written < bytes.len() {
            match write(&self.out, &bytes[written..]) {
                Ok(0) => return Err(WriteOutcome::Failed(ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(WriteOutcome::Failed(error.into())),
            }
            progress.out_bytes.store(written, Ordering::Release);
        }
        Ok(())
    }

    /// Writes only what is accepted without blocking, so that a stalled reader does not block the thread.
    fn write_pieces(&self, bytes: &[u8], progress: &Progress) -> Result<(), WriteOutcome> {
        let mut written = 0;
        while written < bytes.len() {
            if progress.is_cancelled() {
                return Err(WriteOutcome::Cancelled);
            }
            let ready = self.wait(PollFlags::OUT, CANCEL_TIMEOUT)?;
            if ready.contains(PollFlags::OUT) {
                match write(&self.out, &bytes[written..bytes.len().min(written + PIECE_BYTES)]) {
                    Ok(count) => written += count,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(Errno::PIPE | Errno::CONNRESET) => return Err(self.gone(written, progress)),
                    Err(error) => return Err(WriteOutcome::Failed(error.into())),
                }
            } else if ready.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(self.gone(written, progress));
            }
            self.note(written, progress)?;
        }
        self.drain(written, progress)
    }

    /// Waits until the other side has received what was written.
    fn drain(&self, written: usize, progress: &Progress) -> Result<(), WriteOutcome> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.note(written, progress)?;
            if progress.out_bytes() >= written {
                return Ok(());
            }
            if progress.is_cancelled() {
                return Err(WriteOutcome::Cancelled);
            }
            if self.wait(PollFlags::empty(), pause)?.intersects(PollFlags::ERR | PollFlags::HUP) {
                return Err(self.gone(written, progress));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn gone(&self, written: usize, progress: &Progress) -> WriteOutcome {
        self.note(written, progress).map_or_else(|failed| failed, |()| WriteOutcome::Gone)
    }

    /// Records how much of what was written the other side has received. Other programs that write to the same pipe can only reduce it.
    fn note(&self, written: usize, progress: &Progress) -> Result<(), WriteOutcome> {
        let unread = match self.kind {
            Kind::Pipe => ioctl_fionread(&self.out).map_err(|error| WriteOutcome::Failed(error.into()))?,
            Kind::File | Kind::Other => 0,
        };
        let out_bytes = written.saturating_sub(usize::try_from(unread).unwrap_or(usize::MAX));
        progress.out_bytes.fetch_max(out_bytes, Ordering::AcqRel);
        Ok(())
    }

    fn wait(&self, wanted: PollFlags, time: Duration) -> Result<PollFlags, WriteOutcome> {
        let mut watched = [PollFd::new(&self.out, wanted)];
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match poll(&mut watched, Some(&time)) {
            Ok(_) => Ok(watched[0].revents()),
            Err(Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(WriteOutcome::Failed(error.into())),
        }
    }
}

/// A token that is cancelled when the reader of standard output exits, even while nothing is written to it.
pub(crate) fn reader_gone() -> io::Result<CancellationToken> {
    let gone = CancellationToken::new();
    let sink = Sink::new(io::stdout())?;
    if sink.kind == Kind::File {
        return Ok(gone);
    }
    let told = gone.clone();
    // The thread ends with the process: it only waits for the reader, and holds no resources.
    std::thread::Builder::new().name("reader".to_owned()).spawn(move || {
        loop {
            let mut watched = [PollFd::new(&sink.out, PollFlags::empty())];
            match poll(&mut watched, None) {
                Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => return told.cancel(),
                Ok(_) if watched[0].revents().contains(PollFlags::NVAL) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(gone)
}
