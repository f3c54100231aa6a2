//! A connection whose peer must read: if output waits for longer than the time-out without progress, writing fails, which ends the connection and its
//! writers.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::activity::ConnectionActivity;

/// A stream whose writes fail with `TimedOut` if the peer reads nothing for the time-out.
pub(crate) struct Reading<S> {
    stream: S,
    unread_timeout: Duration,
    /// Notified when output waits.
    activity: Arc<ConnectionActivity>,
    /// Created at the first wait, and reused for later ones.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether output waits and the timer is running.
    is_waiting: bool,
}

impl<S> Reading<S> {
    /// Wraps a stream, with a limit on how long its output may wait.
    pub(crate) fn new(stream: S, unread_timeout: Duration, activity: Arc<ConnectionActivity>) -> Self {
        Reading { stream, unread_timeout, activity, timer: None, is_waiting: false }
    }

    /// The result of a write, or `TimedOut` if the peer did not read for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if std::mem::take(&mut self.is_waiting) {
                self.activity.flow();
            }
            return written;
        }
        let unread_timeout = self.unread_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(unread_timeout)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.activity.stall();
            timer.as_mut().reset(Instant::now() + unread_timeout);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, format!("the peer read nothing for {} s", unread_timeout.as_secs_f64()))))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reading<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reading<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_tolerated_and_a_stalled_one_is_not() {
        let (near, mut far) = duplex(8);
        let mut near = Reading::new(near, Duration::from_secs(30), Arc::new(ConnectionActivity::new()));
        let slow = async {
            for _ in 0..10 {
                tokio::time::advance(Duration::from_secs(20)).await;
                far.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(near.write_all(&[0; 88]), slow);
        written.unwrap();
        let error = near.write_all(b"x").await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "the peer read nothing for 30 s".to_owned()));
    }
}
