//! A WebSocket with limits on idle time, unread output, and input after the close.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use weir_pubsub::chain;

use super::counted::CountedStream;
use super::end::End;
use crate::budget::Share;
use crate::error::GatewayError;
use crate::gateway::Gateway;

/// How much input is drained, and for how long, after the close was sent, so that a peer that is still writing can read it.
const DRAINED_BYTES: usize = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// A peer that sends nothing for this long after the close, not even its own close, is not waited for: it would delay the shutdown of Weir.
const DRAIN_PAUSE: Duration = Duration::from_secs(2);

/// A message from the peer, or how it closed.
pub(crate) enum PeerMessage {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary,
    /// The answer to a [ping](Connection::ping), with its payload.
    Pong(Bytes),
    /// The peer closes: messages so far can still be processed, and then the close [acknowledged](Connection::acknowledge).
    Closed,
    /// A message above the limit; nothing after it can be read.
    TooLarge {
        /// Its size, as far as known.
        actual_bytes: usize,
    },
    /// An unreadable message, for example text that is not UTF-8; nothing after it can be read.
    Unreadable(String),
    /// The rest of a message exceeds the budget; nothing after it can be read.
    Refused(GatewayError),
    /// The peer disconnected without a close, or was silent for too long.
    Cut(String),
}

/// The peer disconnected, or does not read.
pub(crate) struct Gone;

type Stream = WebSocketStream<CountedStream<TokioIo<Upgraded>>>;

/// A WebSocket.
pub(crate) struct Connection {
    stream: Stream,
    /// The stream has reported an error and cannot be read any more.
    is_unreadable: bool,
    pings: Interval,
    is_silent: bool,
    /// The payload of the newest ping: a peer may answer only that one, so keep-alive pings have the same payload.
    newest_ping: Bytes,
    unread_timeout: Duration,
    /// The share of output that was fed but not flushed.
    share: Share,
    unflushed_bytes: usize,
}

impl Connection {
    pub(crate) async fn new(upgraded: Upgraded, max_message_bytes: usize, gateway: &Gateway) -> Self {
        let settings = &gateway.settings;
        let config = WebSocketConfig::default().max_message_size(Some(max_message_bytes)).max_frame_size(Some(max_message_bytes));
        let raw = CountedStream::new(TokioIo::new(upgraded), gateway.budget.share());
        let stream = WebSocketStream::from_raw_socket(raw, Role::Server, Some(config)).await;
        let mut pings = tokio::time::interval(settings.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        Connection {
            stream,
            is_unreadable: false,
            pings,
            is_silent: false,
            newest_ping: Bytes::new(),
            unread_timeout: settings.unread_timeout,
            share: gateway.budget.share(),
            unflushed_bytes: 0,
        }
    }

    /// Waits for the next event. Sends pings to an idle peer.
    ///
    /// # Cancel safety
    /// No message is lost.
    pub(crate) async fn receive(&mut self) -> PeerMessage {
        loop {
            let next = tokio::select! {
                biased;
                next = self.stream.next() => next,
                _ = self.pings.tick() => {
                    if std::mem::replace(&mut self.is_silent, true) {
                        return PeerMessage::Cut("it was idle and did not answer a ping".to_owned());
                    }
                    if self.ping(self.newest_ping.clone()).await.is_err() {
                        return PeerMessage::Cut("the ping could not be sent".to_owned());
                    }
                    continue;
                }
            };
            self.is_silent = false;
            self.count(next.as_ref());
            match next {
                Some(Ok(Message::Text(text))) => return PeerMessage::Text(Bytes::from(text)),
                Some(Ok(Message::Binary(_))) => return PeerMessage::Binary,
                Some(Ok(Message::Close(_))) => return PeerMessage::Closed,
                Some(Ok(Message::Pong(carried))) if !carried.is_empty() && carried == self.newest_ping => {
                    return PeerMessage::Pong(carried);
                }
                // The stream answers pings automatically.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return self.failed(error),
                None => return PeerMessage::Cut("it disconnected".to_owned()),
            }
        }
    }

    /// Releases the bytes of a message that was read.
    fn count(&mut self, next: Option<&Result<Message, Error>>) {
        /// The head of a small frame: its kind, its length and its mask.
        const HEAD_BYTES: usize = 6;
        match next {
            Some(Ok(Message::Ping(carried) | Message::Pong(carried))) => self.stream.get_mut().let_go_of(carried.len() + HEAD_BYTES),
            Some(Ok(_)) => self.stream.get_mut().release(),
            _ => {}
        }
    }

    fn failed(&mut self, error: Error) -> PeerMessage {
        self.is_unreadable = true;
        match error {
            Error::Capacity(CapacityError::MessageTooLong { size, .. }) => PeerMessage::TooLarge { actual_bytes: size },
            Error::Utf8(_) => PeerMessage::Unreadable("a text message is not UTF-8".to_owned()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => PeerMessage::Cut(error.to_string()),
            Error::Protocol(_) => PeerMessage::Unreadable(error.to_string()),
            Error::Io(error) => refused(error),
            error => PeerMessage::Cut(error.to_string()),
        }
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), Gone> {
        self.feed(Message::Text(text.into())).await?;
        self.flush().await
    }

    /// Sends a text message that is already counted.
    pub(crate) async fn send_held(&mut self, text: String, share: Share) -> Result<(), Gone> {
        let sent = within(self.unread_timeout, self.stream.send(Message::Text(text.into()))).await;
        drop(share);
        sent
    }

    /// Buffers a message, which may wait for the next [flush](Connection::flush).
    pub(crate) async fn feed(&mut self, message: Message) -> Result<(), Gone> {
        self.unflushed_bytes += message.len();
        if let Err(error) = self.share.resize_soon(self.unflushed_bytes).await {
            tracing::warn!(error = %chain(&error), "socket closed");
            return Err(Gone);
        }
        within(self.unread_timeout, self.stream.feed(message)).await
    }

    /// Writes everything to the connection.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        within(self.unread_timeout, self.stream.flush()).await?;
        self.unflushed_bytes = 0;
        self.share.try_resize(0);
        Ok(())
    }

    /// Sends a ping after everything that was fed: its pong shows that the peer's library has received all of it.
    pub(crate) async fn ping(&mut self, carried: Bytes) -> Result<(), Gone> {
        self.newest_ping = carried.clone();
        self.feed(Message::Ping(carried)).await?;
        self.flush().await
    }

    /// Answers the peer's close, which confirms that everything before it was processed.
    pub(crate) async fn acknowledge(mut self) {
        let _ = self.flush().await;
    }

    /// Closes the WebSocket: sends the reason, and drains input, so that a peer that is still writing can read it.
    pub(crate) async fn end(mut self, end: &End) {
        let frame = CloseFrame { code: end.code(), reason: end.reason().into() };
        if within(self.unread_timeout, self.stream.send(Message::Close(Some(frame)))).await.is_ok() {
            let _ = tokio::time::timeout(DRAIN_TIME, self.drain()).await;
        }
    }

    async fn drain(&mut self) {
        let mut left = DRAINED_BYTES;
        self.stream.get_mut().count_no_more();
        while !self.is_unreadable {
            match tokio::time::timeout(DRAIN_PAUSE, self.stream.next()).await {
                Ok(Some(Ok(message))) => left = left.saturating_sub(message.len()),
                Ok(Some(Err(error))) => drop(self.failed(error)),
                // The peer has answered, or will not.
                Ok(None) | Err(_) => return,
            }
            if left == 0 {
                return;
            }
        }
        let raw = self.stream.get_mut();
        let _ = raw.shutdown().await;
        let mut buffer = vec![0; 64 << 10];
        while let Ok(Ok(count)) = tokio::time::timeout(DRAIN_PAUSE, raw.read(&mut buffer)).await {
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                return;
            }
        }
    }
}

/// An error of the connection, or of the budget.
fn refused(error: std::io::Error) -> PeerMessage {
    match error.downcast::<GatewayError>() {
        Ok(error) => PeerMessage::Refused(error),
        Err(error) => PeerMessage::Cut(error.to_string()),
    }
}

async fn within(unread_timeout: Duration, sent: impl Future<Output = Result<(), Error>>) -> Result<(), Gone> {
    match tokio::time::timeout(unread_timeout, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::debug!(error = %chain(&error), "write to a peer failed");
            Err(Gone)
        }
        Err(_) => {
            tracing::debug!(unread_time = ?unread_timeout, "peer not reading");
            Err(Gone)
        }
    }
}
