//! The byte stream between the client library and the broker, over TCP or TLS, with a [`Sanitizer`] in between.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream as Items;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use super::sanitizer::Sanitizer;
use crate::rate_limited_log::RateLimitedLog;

/// Connects to a node.
pub(super) async fn connect(node: AMQPUri, properties: ConnectionProperties, tls: OwnedTLSConfig) -> lapin::Result<Connection> {
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), SanitizedReactor(Tokio::current())));
    let connect = async move |node: AMQPUri, _: Runtime<_>| {
        let stream = node.connect_with_config_async(tls.as_ref(), &Runtime::tokio_current()).await?;
        Ok(AsyncTcpStream::Plain(Stream::over(stream)))
    };
    Connection::connector(node, runtime, connect, properties).await
}

/// The type in the reactor's trait.
#[allow(clippy::disallowed_types, reason = "the trait of the reactor names it")]
type Moment = std::time::Instant;

type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// Tokio's reactor, with sanitized streams.
#[derive(Clone, Debug)]
struct SanitizedReactor(Tokio);

impl Reactor for SanitizedReactor {
    type TcpStream = Stream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Items<Item = Moment> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(&self, address: SocketAddr) -> impl Future<Output = io::Result<Stream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Stream::over(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

/// The sanitized stream from a broker, and the stream to it.
pub(super) struct Stream {
    socket: Socket,
    sanitizer: Sanitizer,
    /// Data to pass on, from `handed_bytes` on.
    ready: Vec<u8>,
    handed_bytes: usize,
    replacement_log: RateLimitedLog,
}

impl Stream {
    fn over(socket: Socket) -> Self {
        Stream { socket, sanitizer: Sanitizer::default(), ready: Vec::new(), handed_bytes: 0, replacement_log: RateLimitedLog::default() }
    }

    fn hand_over(&mut self, buffer: &mut [u8]) -> usize {
        let left = &self.ready[self.handed_bytes..];
        let size = left.len().min(buffer.len());
        buffer[..size].copy_from_slice(&left[..size]);
        self.handed_bytes += size;
        size
    }

    fn log_replacements(&mut self) {
        let replaced_count = self.sanitizer.take_replaced_count();
        if replaced_count == 0 {
            return;
        }
        if let Some(parts_count) = self.replacement_log.count(replaced_count) {
            let last_routing_key = self.sanitizer.routing_key();
            tracing::warn!(
                parts_count,
                last_routing_key,
                "messages of another publisher contain invalid UTF-8, too deeply nested tables or oversized headers: replaced"
            );
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let handed_bytes = stream.hand_over(buffer);
            if handed_bytes > 0 {
                return Poll::Ready(Ok(handed_bytes));
            }
            let missing = stream.sanitizer.missing_bytes();
            let wanted = missing.map_or(buffer.len(), |missing| missing.min(buffer.len()));
            let read_bytes = ready!(Pin::new(&mut stream.socket).poll_read(context, &mut buffer[..wanted]))?;
            if read_bytes == 0 {
                (stream.ready, stream.handed_bytes) = (stream.sanitizer.rest(), 0);
                return Poll::Ready(Ok(stream.hand_over(buffer)));
            }
            let arrived = &mut buffer[..read_bytes];
            let mut whole_bytes = 0;
            if missing.is_none() {
                whole_bytes = stream.sanitizer.sanitize(arrived);
            } else if let Some(whole) = stream.sanitizer.add(arrived) {
                (stream.ready, stream.handed_bytes) = (whole, 0);
            }
            stream.log_replacements();
            if whole_bytes > 0 {
                return Poll::Ready(Ok(whole_bytes));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(context)
    }
}
