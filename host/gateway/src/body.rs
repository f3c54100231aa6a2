//! Bodies of requests: their type, size and time limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::budget::Share;
use crate::error::{GatewayError, Result};
use crate::request_share::RequestShare;

/// How much of a refused body is drained, so that its sender receives the response instead of a broken connection.
const DRAINED_BYTES: u64 = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The media type of JSON Lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The media type of a request without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a body that is not of the media type.
pub(crate) fn expect_type(headers: &HeaderMap, expected: &'static str) -> Result<()> {
    // Nearly all requests spell it exactly like this, which needs no copy.
    let said = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    if said == expected.as_bytes() || media_type(headers) == expected { Ok(()) } else { Err(wrong_type(headers, expected)) }
}

/// The error for another type, with the accepted one.
pub(crate) fn wrong_type(headers: &HeaderMap, expected: &'static str) -> GatewayError {
    let actual = media_type(headers);
    let actual = if actual.is_empty() { "of no type".to_owned() } else { weir_pubsub::shown(&actual) };
    GatewayError::WrongContentType { expected, actual }
}

/// Reads a whole JSON body.
pub(crate) async fn read_json(request: Request, limit_bytes: usize, time: Duration) -> Result<Bytes> {
    expect_type(request.headers(), "application/json")?;
    read(request, limit_bytes, time).await
}

/// Reads and deserializes a whole JSON body.
pub(crate) async fn read_as<T: DeserializeOwned>(request: Request, limit_bytes: usize, time: Duration) -> Result<T> {
    let body = read_json(request, limit_bytes, time).await?;
    serde_json::from_slice(&body).map_err(|source| match source.is_data() {
        true => GatewayError::BadField { field: "the body".to_owned(), problem: source.to_string() },
        false => GatewayError::NotJson { what: "the body".to_owned(), source },
    })
}

/// Reads a whole body.
pub(crate) async fn read(request: Request, limit_bytes: usize, time: Duration) -> Result<Bytes> {
    let received = RequestShare::of(request.extensions());
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut stream = request.into_body().into_data_stream();
    let too_large = announced.is_some_and(|length| length > limit_bytes as u64);
    let mut body = Pieces { announced_bytes: announced.and_then(|length| usize::try_from(length).ok()), ..Pieces::default() };
    let read = if too_large { Ok(None) } else { collect(&mut stream, &mut body, received.as_ref(), limit_bytes, time).await };
    match read {
        Ok(Some(body)) => Ok(body),
        Ok(None) => {
            drain(&mut stream).await;
            Err(GatewayError::BodyTooLarge { actual_bytes: announced, limit_bytes })
        }
        Err(error) => {
            if error.is_busy() {
                // The bytes read so far are released before the rest is drained.
                drop(body);
                let _ = received.map(|received| received.resize(0));
                drain(&mut stream).await;
            }
            Err(error)
        }
    }
}

/// The body, or `None` when it is too large.
async fn collect(
    stream: &mut BodyDataStream,
    body: &mut Pieces,
    received: Option<&RequestShare>,
    limit_bytes: usize,
    time: Duration,
) -> Result<Option<Bytes>> {
    let deadline = Instant::now() + time;
    loop {
        let next = tokio::time::timeout_at(deadline, stream.next()).await;
        let next = next.map_err(|_| GatewayError::BodyBroken { problem: format!("did not arrive within {} s", time.as_secs()) })?;
        match next {
            None => return Ok(Some(std::mem::take(body).whole())),
            Some(Ok(chunk)) if body.length() + chunk.len() > limit_bytes => return Ok(None),
            Some(Ok(chunk)) => {
                if let Some(received) = received {
                    received.resize(body.bytes_with(chunk.len()))?;
                }
                body.add(chunk);
            }
            Some(Err(error)) => return Err(broken(&error)),
        }
    }
}

/// A body as it arrives. One that arrives in one piece, as small ones do, is not copied.
#[derive(Default)]
struct Pieces {
    /// Its size, if announced; the buffer then never has to grow.
    announced_bytes: Option<usize>,
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn length(&self) -> usize {
        self.first.len() + self.all.len()
    }

    /// The size including this many more bytes. If the size was not announced, the buffer may grow to twice the size.
    fn bytes_with(&self, more_bytes: usize) -> usize {
        let bytes = self.length() + more_bytes;
        if self.announced_bytes.is_some() || self.length() == 0 { bytes } else { bytes.next_power_of_two() }
    }

    fn add(&mut self, piece: Bytes) {
        if self.length() == 0 {
            self.first = piece;
            return;
        }
        if !self.first.is_empty() {
            self.all.reserve(self.announced_bytes.unwrap_or_default());
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

fn broken(error: &axum::Error) -> GatewayError {
    GatewayError::BodyBroken { problem: weir_pubsub::chain(error) }
}

/// Reads and discards the rest of a body, up to a limit.
pub(crate) async fn drain(stream: &mut BodyDataStream) {
    let all = async {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, all).await;
}

/// A body read line by line.
pub(crate) struct Lines {
    stream: BodyDataStream,
    buffer: BytesMut,
    /// The buffer's share of the budget.
    share: Share,
    /// How long the sender may pause.
    pause_time: Duration,
    searched: usize,
    number: u64,
    limit_bytes: usize,
    ended: bool,
}

impl Lines {
    /// Lines of at most `limit_bytes`, from a sender that pauses no longer than `pause_time`.
    pub(crate) fn new(body: Body, limit_bytes: usize, share: Share, pause_time: Duration) -> Self {
        let (stream, buffer) = (body.into_data_stream(), BytesMut::new());
        Lines { stream, buffer, share, pause_time, searched: 0, number: 0, limit_bytes, ended: false }
    }

    /// The next line that is not blank, with its number from 1 and without its end; `None` after the last one. White space before a line is skipped:
    /// a sender with nothing to send yet sends some as a keep-alive.
    ///
    /// # Cancel safety
    /// No line is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Bytes)>> {
        loop {
            if let Some(line) = self.split()? {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some((self.number, line)));
                }
            } else if self.ended {
                return Ok(None);
            } else {
                self.read_on().await?;
            }
        }
    }

    /// Reads one piece of the body.
    async fn read_on(&mut self) -> Result<()> {
        // Before the next piece is received, so that cancellation does not lose it.
        self.share.resize_soon(self.buffer.capacity()).await?;
        match tokio::time::timeout(self.pause_time, self.stream.next()).await {
            Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.map_err(|error| broken(&error))?),
            Ok(None) => self.ended = true,
            Err(_) => {
                // The rest is not drained, so that the connection ends immediately.
                self.ended = true;
                let problem =
                    format!("no data arrived for {} s: send white space or a blank line during a pause", self.pause_time.as_secs());
                return Err(GatewayError::BodyBroken { problem });
            }
        }
        Ok(())
    }

    fn split(&mut self) -> Result<Option<Bytes>> {
        if self.searched == 0 {
            self.skip_blanks();
        }
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        let length = end.unwrap_or(self.buffer.len());
        if length > self.limit_bytes {
            return Err(GatewayError::LineTooLarge { number: self.number + 1, limit_bytes: self.limit_bytes });
        }
        let line = match end {
            Some(end) => {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                line
            }
            None if self.ended && !self.buffer.is_empty() => self.buffer.split().freeze(),
            None => {
                self.searched = self.buffer.len();
                return Ok(None);
            }
        };
        self.searched = 0;
        self.number += 1;
        Ok(Some(line))
    }

    /// Discards white space at the beginning of a line.
    fn skip_blanks(&mut self) {
        let blank_count = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        self.buffer.advance(blank_count);
    }

    /// Reads and discards the rest, up to a limit.
    pub(crate) async fn drain(mut self) {
        if !self.ended {
            drain(&mut self.stream).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::budget::Budget;

    async fn lines_of(chunks: &'static [&'static str], limit_bytes: usize) -> Result<Vec<(u64, String)>> {
        let stream = futures_util::stream::iter(chunks.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk)));
        let share = Arc::new(Budget::new(1 << 20)).share();
        let mut lines = Lines::new(Body::from_stream(stream), limit_bytes, share, Duration::from_secs(1));
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().await? {
            all.push((number, String::from_utf8(line.to_vec()).unwrap()));
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_body_is_the_same_in_any_number_of_chunks() {
        for pieces in [&[][..], &["whole"], &["", "who", "", "le"], &["w", "h", "o", "l", "e"]] {
            let stream = futures_util::stream::iter(pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece)));
            let mut stream = Body::from_stream(stream).into_data_stream();
            let body = collect(&mut stream, &mut Pieces::default(), None, 5, Duration::from_secs(1)).await.unwrap().unwrap();
            assert_eq!(body, if pieces.is_empty() { "" } else { "whole" });
        }
    }

    #[tokio::test]
    async fn lines_are_split_independently_of_the_chunks() {
        let expected = vec![(1, "{\"a\":1}".to_owned()), (3, "2".to_owned()), (4, "3".to_owned())];
        assert_eq!(lines_of(&["{\"a\"", ":1}\n", "\n2\n3"], 100).await.unwrap(), expected);
        assert_eq!(lines_of(&["{\"a\":1}\n\n2\n3\n"], 100).await.unwrap(), expected);
        assert_eq!(lines_of(&[], 100).await.unwrap(), vec![]);
    }

    #[tokio::test]
    async fn white_space_before_a_line_is_skipped_and_not_counted() {
        let expected = vec![(1, "{\"a\": 1}".to_owned()), (3, "[ ]".to_owned())];
        assert_eq!(lines_of(&["   ", "      ", "  {\"a\": 1}", "\n \t", " \r", "\n", "       ", "[ ]"], 8).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_line_above_the_limit_is_refused_with_its_number() {
        let error = lines_of(&["1\n", "12345", "6789"], 8).await.unwrap_err();
        assert_eq!(error.to_string(), "line 2 has more than 8 bytes, the limit of a message");
    }
}
