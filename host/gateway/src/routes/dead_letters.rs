//! `GET /api/v1/weir/dead-letters` and `.../{letter}`: looks at the messages that could not be handled, and takes none.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use weir_config::records::{DEAD_LETTERS_SUBSCRIPTION, DEAD_LETTERS_TOPIC_NAME, DeadLetter};
use weir_pubsub::{Browsed, PubsubError, Queue};

use super::exits::ndjson;
use crate::body::NDJSON;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::line;
use crate::protocol::{DeadLetterLine, DeadLetterSummary, DeadLetters};
use crate::query::Fields;

/// Letters of one answer, unless asked for others, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// What is shown of a body.
const SHOWN_BYTES: usize = 2048;
/// Letters that are held in memory while one is looked for by its id.
const LOOK_COUNT: u32 = 16;
/// Letters of one id that are shown whole. There is one for each queue that gave the message up.
const WHOLE_COUNT: usize = 16;

/// Which letters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Extent {
    /// So many at most: 1 to 1,000, else 100.
    limit: Option<u32>,
    /// Those behind this position.
    after: Option<u64>,
}

/// The oldest messages that could not be handled. Nothing is taken.
#[utoipa::path(
    get,
    path = "/api/v1/weir/dead-letters",
    operation_id = "dead-letters",
    tag = "views",
    params(Extent),
    responses((status = 200, description = "The oldest first", body = DeadLetters))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Fields(extent): Fields<Extent>) -> Result<Json<DeadLetters>> {
    let limit = extent.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(GatewayError::BadField {
            field: "limit".to_owned(),
            problem: format!("must be between 1 and {MAX_LIMIT}, is {limit}"),
        });
    }
    let queue = queue(&gateway)?;
    let depth = match gateway.backend.stats(&queue).await {
        Ok(stats) => stats.depth_count,
        // It is made by the flow service; before that there is no letter.
        Err(PubsubError::QueueNotFound { .. }) => return Ok(Json(DeadLetters::default())),
        Err(error) => return Err(GatewayError::broker("the dead letters cannot be read")(error)),
    };
    let browsed = gateway.backend.browse(&queue, extent.after.unwrap_or(0), limit).await;
    let browsed = browsed.map_err(GatewayError::broker("the dead letters cannot be read"))?;
    Ok(Json(DeadLetters { depth_count: depth, letters: browsed.iter().map(summary).collect() }))
}

/// One dead letter whole, by its position; or all of an id.
#[utoipa::path(
    get,
    path = "/api/v1/weir/dead-letters/{letter}",
    operation_id = "dead-letter",
    tag = "views",
    params(("letter" = String, Path, description = "A position, or an id of 32 hexadecimal digits")),
    responses((status = 200, description = "A line for each queue that gave the message up, at most 16", body = DeadLetterLine, content_type = NDJSON))
)]
pub(crate) async fn whole(State(gateway): State<Shared>, Path(letter): Path<String>) -> Result<Response> {
    let found = match read_wanted(&letter)? {
        Wanted::Position(position) => browse(&gateway, position - 1, 1).await?.into_iter().filter(|it| it.position == position).collect(),
        Wanted::Id(id) => of_id(&gateway, &id).await?,
    };
    if found.is_empty() {
        return Err(GatewayError::UnknownDeadLetter { letter });
    }
    let mut lines = Vec::new();
    for browsed in &found {
        lines.extend_from_slice(b"{\"letter\":");
        serde_json::to_writer(&mut lines, &summary(browsed)).map_err(|_| GatewayError::Broken { what: "writing a dead letter" })?;
        lines.extend_from_slice(b",\"message\":");
        line::write(&browsed.message, &mut lines);
        // The message has a line end of its own, which belongs behind the whole.
        lines.pop();
        lines.extend_from_slice(b"}\n");
    }
    Ok(ndjson(Body::from(lines)))
}

/// How a letter is named.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// By its place in the queue, from 1.
    Position(u64),
    /// By the message's id.
    Id(String),
}

/// An id has 32 hexadecimal digits, which no position has.
fn read_wanted(letter: &str) -> Result<Wanted> {
    if letter.len() == 32 && letter.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(Wanted::Id(letter.to_ascii_lowercase()));
    }
    match letter.parse() {
        Ok(position) if position > 0 => Ok(Wanted::Position(position)),
        _ => Err(GatewayError::BadField {
            field: "the dead letter".to_owned(),
            problem: format!(
                "`{}` is neither a position, which is a number from 1, nor an id, which has 32 hexadecimal digits",
                weir_pubsub::shown(letter)
            ),
        }),
    }
}

async fn of_id(gateway: &Gateway, id: &str) -> Result<Vec<Browsed>> {
    let mut found = Vec::new();
    let mut after = 0;
    while found.len() < WHOLE_COUNT {
        let page = browse(gateway, after, LOOK_COUNT).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        found.extend(page.into_iter().filter(|browsed| browsed.message.id.is_some_and(|it| it.to_string() == id)));
    }
    Ok(found)
}

async fn browse(gateway: &Gateway, after: u64, limit: u32) -> Result<Vec<Browsed>> {
    match gateway.backend.browse(&queue(gateway)?, after, limit).await {
        Err(PubsubError::QueueNotFound { .. }) => Ok(Vec::new()),
        browsed => browsed.map_err(GatewayError::broker("the dead letters cannot be read")),
    }
}

/// The topic of the dead letters.
pub(crate) fn topic_name(gateway: &Gateway) -> String {
    format!("flow:{}:{DEAD_LETTERS_TOPIC_NAME}", gateway.topicspace)
}

fn queue(gateway: &Gateway) -> Result<Queue> {
    let wrong = |error: weir_pubsub::NameError| GatewayError::BadField { field: "topicspace".to_owned(), problem: error.to_string() };
    let topic = topic_name(gateway).parse().map_err(wrong)?;
    Queue::new(topic, DEAD_LETTERS_SUBSCRIPTION.parse().map_err(wrong)?).map_err(wrong)
}

fn summary(browsed: &Browsed) -> DeadLetterSummary {
    let message = &browsed.message;
    let DeadLetter { topic, subscription, error, reason, attempts_count, digest } = DeadLetter::of_message(message).unwrap_or_default();
    DeadLetterSummary {
        position: browsed.position,
        id: message.id.map(|id| id.to_string()),
        topic,
        subscription,
        error,
        reason,
        attempts_count,
        digest,
        body: String::from_utf8_lossy(&message.body[..message.body.len().min(SHOWN_BYTES)]).into_owned(),
        body_bytes: message.body.len() as u64,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_position_or_id() {
        let id = "00000000000000000000000000000abc";
        assert_eq!(read_wanted("7").unwrap(), Wanted::Position(7));
        assert_eq!(read_wanted(&id.to_uppercase()).unwrap(), Wanted::Id(id.to_owned()));
        for wrong in ["0", "-1", "x", "", "18446744073709551616", &id[1..].replace('0', "g")] {
            assert!(read_wanted(wrong).unwrap_err().to_string().contains("neither a position"), "{wrong}");
        }
    }
}
