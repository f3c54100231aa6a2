//! The other side of a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use weir_tests::wait::within;

use super::fixture::GatewayFixture;

/// An open WebSocket.
pub(super) struct Peer {
    pub(super) stream: WebSocketStream<TcpStream>,
}

impl Peer {
    pub(super) async fn open(fixture: &GatewayFixture, path: &str) -> Peer {
        match Peer::try_open(fixture, path, &[]).await {
            Ok(peer) => peer,
            Err((status, body)) => panic!("{path} was refused with {status}: {body}"),
        }
    }

    /// Opens with headers, or returns how it was refused.
    pub(super) async fn try_open(fixture: &GatewayFixture, path: &str, headers: &[(&'static str, &str)]) -> Result<Peer, (u16, Value)> {
        let mut request = format!("ws://{}{path}", fixture.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let connection = TcpStream::connect(fixture.address).await.unwrap();
        match within("the handshake", tokio_tungstenite::client_async(request, connection)).await {
            Ok((stream, _)) => Ok(Peer { stream }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default()))
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub(super) async fn send(&mut self, text: impl Into<String>) {
        within("a message to be sent", self.stream.send(Message::text(text.into()))).await.unwrap();
    }

    /// Keeps reading, which answers pings, until another future completes. No message may arrive meanwhile.
    pub(super) async fn reading<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                next = self.stream.next() => match next {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    unexpected => panic!("{unexpected:?}"),
                },
            }
        }
    }

    /// The next message that is neither ping nor pong.
    pub(super) async fn next(&mut self) -> Message {
        loop {
            let next = within("a message", self.stream.next()).await.expect("the socket ended without a word").unwrap();
            if !matches!(next, Message::Ping(_) | Message::Pong(_)) {
                return next;
            }
        }
    }

    pub(super) async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub(super) async fn next_json(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).unwrap()
    }

    /// The code and reason with which the other side closes.
    pub(super) async fn end(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => {
                // Answers, and waits until the other side is gone.
                while let Some(Ok(_)) = within("the end", self.stream.next()).await {}
                (frame.code.into(), frame.reason.to_string())
            }
            other => panic!("no end: {other:?}"),
        }
    }

    /// Closes it, and waits until the other side has acknowledged that; returns what it still sent.
    pub(super) async fn close(mut self) -> Vec<String> {
        within("the wish to end to be sent", self.stream.close(None)).await.unwrap();
        let mut texts = Vec::new();
        loop {
            match within("the end to be acknowledged", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => texts.push(text.to_string()),
                Some(Ok(Message::Close(_))) => break,
                Some(Ok(_)) => {}
                other => panic!("not acknowledged: {other:?}"),
            }
        }
        while let Some(Ok(_)) = within("the end", self.stream.next()).await {}
        texts
    }
}
