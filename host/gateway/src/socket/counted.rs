//! Counts the bytes of an incoming WebSocket message in the [budget](crate::budget).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::budget::Share;

/// A stream whose input is counted until it is released. Reading fails if the budget is exhausted.
pub(super) struct CountedStream<S> {
    stream: S,
    share: Share,
    read_bytes: usize,
    counting: Counting,
}

enum Counting {
    On,
    /// Input is discarded immediately.
    Off,
}

impl<S> CountedStream<S> {
    pub(super) fn new(stream: S, share: Share) -> Self {
        CountedStream { stream, share, read_bytes: 0, counting: Counting::On }
    }

    /// Releases the bytes of a complete message: its owner counts them from now on.
    pub(super) fn release(&mut self) {
        self.read_bytes = 0;
        self.share.try_resize(0);
    }

    /// Releases a small frame that arrived between the parts of an incomplete message.
    pub(super) fn let_go_of(&mut self, bytes: usize) {
        self.read_bytes = self.read_bytes.saturating_sub(bytes);
        self.share.try_resize(self.read_bytes);
    }

    /// Stops counting: further input is discarded.
    pub(super) fn count_no_more(&mut self) {
        self.release();
        self.counting = Counting::Off;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before_count = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if matches!(self.counting, Counting::On) {
            self.read_bytes += buffer.filled().len() - before_count;
            let read_bytes = self.read_bytes;
            self.share.resize(read_bytes).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
