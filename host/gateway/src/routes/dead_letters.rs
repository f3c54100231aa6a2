//! `GET /api/v1/weir/dead-letters`: looks at the messages that could not be handled, and takes none.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weir_config::records::{DEAD_LETTERS_SUBSCRIPTION, DEAD_LETTERS_TOPIC_NAME, DeadLetter};
use weir_pubsub::{Browsed, PubsubError, Queue};

use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{DeadLetterSummary, DeadLetters};
use crate::query::Fields;

/// Letters of one answer, unless asked for others, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// What is shown of a body.
const SHOWN_BYTES: usize = 2048;

/// Which letters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extent {
    limit: Option<u32>,
    after: Option<u64>,
}

/// The oldest letters behind a position.
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
