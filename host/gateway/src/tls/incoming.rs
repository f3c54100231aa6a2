//! A connection before its first request, with or without TLS.
//!
//! Each step can be cancelled and resumed, since a connection is examined while it waits for a slot and continues once it has one.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::TlsServer;
use crate::activity::ConnectionActivity;
use crate::unread_timeout::Reading;

/// The first byte of a connection of a TLS client: a handshake record.
const HANDSHAKE_RECORD: u8 = 22;

/// A connection that is ready for HTTP.
pub(crate) type Stream = Either<Reading<TcpStream>, ReadAhead<TlsStream<Reading<TcpStream>>>>;

/// An accepted connection.
pub(crate) struct IncomingConnection {
    state: State,
    tls: Option<TlsServer>,
    unread_timeout: Duration,
    activity: Arc<ConnectionActivity>,
}

enum State {
    /// Nothing was read yet.
    Fresh(TcpStream),
    Shaking(Box<Accept<Reading<TcpStream>>>),
    Secure {
        stream: Box<TlsStream<Reading<TcpStream>>>,
        /// What was read to examine it.
        read: Vec<u8>,
    },
    /// The handshake failed.
    Lost,
}

/// The outcome of opening a connection.
#[derive(Debug)]
pub(crate) enum HandshakeOutcome {
    /// Requests can be read.
    Ready,
    /// Its client does not use TLS, which this gateway requires.
    NotTls,
    /// The handshake failed.
    Failed(io::Error),
}

impl IncomingConnection {
    pub(crate) fn new(stream: TcpStream, tls: Option<TlsServer>, unread_timeout: Duration) -> Self {
        IncomingConnection { state: State::Fresh(stream), tls, unread_timeout, activity: Arc::new(ConnectionActivity::new()) }
    }

    /// The activity of the connection.
    pub(crate) fn activity(&self) -> &Arc<ConnectionActivity> {
        &self.activity
    }

    /// Continues until requests can be read.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next call continues.
    pub(crate) async fn open(&mut self) -> HandshakeOutcome {
        match self.shake_hands().await {
            Ok(opened) => opened,
            Err(error) => {
                self.state = State::Lost;
                HandshakeOutcome::Failed(error)
            }
        }
    }

    async fn shake_hands(&mut self) -> io::Result<HandshakeOutcome> {
        let Some(tls) = &self.tls else { return Ok(HandshakeOutcome::Ready) };
        if let State::Fresh(stream) = &self.state {
            let mut first = [0];
            match stream.peek(&mut first).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ if first[0] != HANDSHAKE_RECORD => return Ok(HandshakeOutcome::NotTls),
                _ => {}
            }
            if let State::Fresh(stream) = std::mem::replace(&mut self.state, State::Lost) {
                let reading = Reading::new(stream, self.unread_timeout, self.activity.clone());
                self.state = State::Shaking(Box::new(tls.acceptor.accept(reading)));
            }
        }
        if let State::Shaking(accept) = &mut self.state {
            let stream = Box::new((&mut **accept).await?);
            self.state = State::Secure { stream, read: Vec::new() };
        }
        match self.state {
            State::Lost => Err(ErrorKind::NotConnected.into()),
            _ => Ok(HandshakeOutcome::Ready),
        }
    }

    /// Waits for bytes and peeks up to `limit_bytes` of them into `head`; none if the peer disconnected. Without TLS on a port that requires it,
    /// there are never any.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn look(&mut self, head: &mut Vec<u8>, limit_bytes: usize) -> io::Result<()> {
        match self.open().await {
            HandshakeOutcome::Ready => {}
            HandshakeOutcome::NotTls => return std::future::pending().await,
            HandshakeOutcome::Failed(error) => return Err(error),
        }
        match &mut self.state {
            State::Fresh(stream) => {
                head.resize(limit_bytes, 0);
                let count = stream.peek(head).await?;
                head.truncate(count);
            }
            State::Secure { stream, read } if read.len() < limit_bytes => {
                let mut part = [0; 1 << 10];
                let count = stream.read(&mut part[..(limit_bytes - read.len()).min(1 << 10)]).await?;
                read.extend_from_slice(&part[..count]);
                head.clear();
                if count > 0 {
                    head.extend_from_slice(read);
                }
            }
            State::Secure { read, .. } => head.clone_from(read),
            State::Shaking(_) | State::Lost => head.clear(),
        }
        Ok(())
    }

    /// The connection, once it is [ready](HandshakeOutcome::Ready), or without TLS; `None` if the handshake failed.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self.state {
            State::Fresh(stream) => Some(Either::Left(Reading::new(stream, self.unread_timeout, self.activity))),
            State::Secure { stream, read } => Some(Either::Right(ReadAhead { read: Bytes::from(read), stream: *stream })),
            State::Shaking(_) | State::Lost => None,
        }
    }
}

/// A stream with bytes that were read ahead, which are read first.
pub(crate) struct ReadAhead<S> {
    read: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.has_remaining() {
            let count = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
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
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn peeked_bytes_are_read_first() {
        let (near, mut far) = duplex(64);
        let mut stream = ReadAhead { read: Bytes::from_static(b"GET "), stream: near };
        far.write_all(b"/healthz").await.unwrap();
        drop(far);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "GET /healthz");
    }
}
