//! Requests in flight: several at once, and answers part by part.

use crate::failure::call_failed;
use crate::imports::messaging;
use crate::messaging::read_part;
use crate::time::whole_ms;
use crate::{Failure, FromMessage, IntoMessage, Message, Result};
use std::iter::FusedIterator;
use std::time::Duration;

/// Sends a request and does not wait for the answer, so that several can be in flight at once. `timeout` counts from this call, in whole
/// milliseconds, and is limited to the time that the handler has left; `None` means the descriptor's.
///
/// # Errors
/// As [`send`](crate::send): the request could not be sent. Later errors are returned by the [`Replies`].
///
/// Two services work concurrently:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use weir::{Json, Result};
///
/// #[derive(Deserialize, Serialize)]
/// struct Rated {
///     text: String,
///     language: String,
///     score: f64,
/// }
///
/// fn rate(Json(text): Json<String>) -> Result<Json<Rated>> {
///     let language = weir::begin_request("language", Json(&text), None)?;
///     let score = weir::begin_request("model", Json(&text), None)?;
///     let Json(language) = language.read()?;
///     let Json(score) = score.read()?;
///     Ok(Json(Rated { text, language, score }))
/// }
///
/// weir::processor!(rate);
/// ```
pub fn begin_request(to: &str, message: impl IntoMessage, timeout: Option<Duration>) -> Result<Replies> {
    let call = messaging::begin_request(to, &message.into_message()?, timeout.map(whole_ms)).map_err(call_failed)?;
    Ok(Replies { to: to.to_owned(), call, has_ended: false })
}

/// The answer to a request in flight, part by part: each step of the iterator waits for the next part. After an error there are no more
/// parts.
///
/// It is valid until the handler returns, and may be dropped at any time: parts that were not fetched are discarded when the handler
/// returns. A host allows 64 unfinished ones.
///
/// ```
/// use weir::{Json, Result, Text};
///
/// fn lines(Text(question): Text) -> Result {
///     let mut parts = weir::begin_request("model", Text(question), None)?;
///     while let Some(Json(line)) = parts.next_as::<Json<String>>()? {
///         weir::send("lines", Json(line))?;
///     }
///     Ok(())
/// }
///
/// weir::processor!(lines);
/// ```
#[derive(Debug)]
#[must_use = "the answer is not awaited unless it is read"]
pub struct Replies {
    to: String,
    call: u32,
    has_ended: bool,
}

impl Replies {
    /// Waits for the next part and reads it; `None` after the last.
    ///
    /// # Errors
    /// As [`request`](crate::request()). A part that cannot be read is a retry; those after it can still be read.
    pub fn next_as<T: FromMessage>(&mut self) -> Result<Option<T>> {
        self.next().transpose()?.map(|part| read_part(&self.to, part)).transpose()
    }

    /// Waits for the answer and reads it, which must have one part.
    ///
    /// # Errors
    /// As [`request`](crate::request()).
    pub fn read<T: FromMessage>(mut self) -> Result<T> {
        let Some(part) = self.next().transpose()? else {
            return Err(Failure::retry(format!("the answer of `{}` has no parts", self.to)));
        };
        if self.next().transpose()?.is_some() {
            return Err(Failure::retry(format!(
                "`{}` answered in several parts instead of one: read them one by one, with `next_as`",
                self.to
            )));
        }
        read_part(&self.to, part)
    }
}

impl Iterator for Replies {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        if self.has_ended {
            return None;
        }
        let part = messaging::next_reply(self.call).map_err(call_failed).transpose();
        self.has_ended = !matches!(part, Some(Ok(_)));
        part
    }
}

impl FusedIterator for Replies {}
