//! `GET /api/v1/weir/dead-letters` and `.../{letter}`: shows dead letters without removing them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use std::cmp::Ordering;
use utoipa::IntoParams;
use weir_config::records::DeadLetter;
use weir_pubsub::{BrowseStart, Browsed, Cursor, MessageId, PubsubError};

use crate::body::NDJSON;
use crate::dead_letters::{DeadLetterKey, Owners, PAGE_COUNT, Selection, list_heads, parse_key, queue, whole as whole_letter, wrong};
use crate::error::{GatewayError, Result};
use crate::flows;
use crate::gateway::{Gateway, Shared};
use crate::message_json;
use crate::ndjson::ndjson;
use crate::protocol::{DeadLetterId, DeadLetterLine, DeadLetterOrder, DeadLetterSummary, DeadLetters, Position};
use crate::query::Fields;
use crate::request_share::RequestShare;

/// Default and maximum number of dead letters in one response.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// How much of a body is shown.
const SHOWN_BYTES: usize = 2048;
/// Approximate size of the text in one response.
const ANSWER_BYTES: usize = 1 << 20;
/// Maximum number of dead letters examined for one response: few of many may be selected.
const EXAMINED_COUNT: usize = 50_000;
/// Maximum number of dead letters of one id that are shown whole. There is one for each queue whose consumer gave up the message.
const WHOLE_COUNT: usize = 16;

/// Which letters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// The maximum number: 1 to 1,000; default 100.
    limit: Option<u32>,
    /// Only those after this position: a number, or the value of `next-after`.
    after: Option<String>,
    /// Only those of this flow.
    flow: Option<String>,
    /// Only those of this processor.
    processor: Option<String>,
    /// Only those of the message with this id, or the one at this position.
    id: Option<String>,
}

impl ListQuery {
    fn selection(&self) -> Result<Selection> {
        let ids = self.id.clone().map(|id| vec![DeadLetterId::Text(id)]);
        let all = (ids.is_none() && self.flow.is_none() && self.processor.is_none()).then_some(true);
        Selection::read(&DeadLetterOrder { ids, flow: self.flow.clone(), processor: self.processor.clone(), all, ..Default::default() })
    }
}

/// Lists the oldest dead letters without removing them.
#[utoipa::path(
    get,
    path = "/api/v1/weir/dead-letters",
    operation_id = "dead-letters",
    tag = "views",
    params(ListQuery),
    responses((status = 200, description = "The oldest first", body = DeadLetters))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Fields(extent): Fields<ListQuery>) -> Result<Json<DeadLetters>> {
    let limit = extent.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(GatewayError::BadField {
            field: "limit".to_owned(),
            problem: format!("must be between 1 and {MAX_LIMIT}, is {limit}"),
        });
    }
    let selection = extent.selection()?;
    let start = extent.after.clone().map_or(Ok(BrowseStart::Oldest), |after| Position::Text(after).behind()).map_err(wrong("after"))?;
    let depth = match gateway.backend.inspect().stats(&queue(&gateway)?).await {
        Ok(stats) => stats.depth_count,
        // The flow service creates it; before that there are no dead letters.
        Err(PubsubError::QueueNotFound { .. }) => return Ok(Json(DeadLetters::default())),
        Err(error) => return Err(GatewayError::broker("the dead letters cannot be read")(error)),
    };
    let (_, records) = flows::records(&gateway.config).await?;
    let listed = list(&gateway, selection, &Owners::of(&records), start, limit as usize).await?;
    Ok(Json(DeadLetters { depth_count: depth, ..listed }))
}

/// The selected dead letters from a position on, up to the limits of one response.
async fn list(gateway: &Gateway, mut selection: Selection, owners: &Owners, mut start: BrowseStart, limit: usize) -> Result<DeadLetters> {
    let mut listed = DeadLetters::default();
    let (mut bytes, mut looked_at_count) = (0, 0);
    loop {
        // A page is as large as the number still requested, unless only some are selected.
        let count = if selection == Selection::All { (limit - listed.letters.len()).min(PAGE_COUNT as usize) as u32 } else { PAGE_COUNT };
        let page = list_heads(gateway, start, count, SHOWN_BYTES).await?;
        let newest = page.newest;
        listed.newest = newest.map(Position::from);
        if page.messages.is_empty() {
            return Ok(listed);
        }
        for head in page.messages {
            start = BrowseStart::Behind(head.cursor);
            looked_at_count += 1;
            let read = head.message.as_ref().ok().and_then(DeadLetter::of_message);
            if selection.takes(&head, read.as_ref().and_then(|read| owners.owner(read)).as_ref()) {
                let letter = summary(&head, owners);
                bytes += letter.reason.len() + letter.body.len() + letter.topic.len() + letter.subscription.len();
                listed.letters.push(letter);
            }
            if listed.letters.len() >= limit || bytes >= ANSWER_BYTES || looked_at_count >= EXAMINED_COUNT {
                listed.next_after =
                    newest.is_none_or(|newest| !head.cursor.partial_cmp(&newest).is_some_and(Ordering::is_ge)).then(|| head.cursor.into());
                return Ok(listed);
            }
        }
    }
}

/// Returns one complete dead letter by its position, or all with an id.
#[utoipa::path(
    get,
    path = "/api/v1/weir/dead-letters/{letter}",
    operation_id = "dead-letter",
    tag = "views",
    params(("letter" = String, Path, description = "A position, or an id of 32 hexadecimal digits")),
    responses((status = 200, description = "One line for each queue that gave the message up, at most 16", body = DeadLetterLine, content_type = NDJSON))
)]
pub(crate) async fn whole(
    State(gateway): State<Shared>,
    Path(letter): Path<String>,
    Extension(held): Extension<RequestShare>,
) -> Result<Response> {
    let cursors = match parse_key(&letter)? {
        DeadLetterKey::Position(position) => vec![position],
        DeadLetterKey::Id(id) => cursors_of(&gateway, id).await?,
    };
    let (mut found, mut bytes) = (Vec::new(), 0);
    for cursor in cursors {
        match whole_letter(&gateway, cursor).await {
            Ok(letter) => {
                bytes += letter.as_ref().map_or(0, |letter| letter.body_bytes as usize);
                held.resize(bytes)?;
                found.extend(letter);
            }
            Err(PubsubError::QueueNotFound { .. }) => {}
            Err(error) => return Err(GatewayError::broker("the dead letter cannot be read")(error)),
        }
    }
    if found.is_empty() {
        return Err(GatewayError::UnknownDeadLetter { letter });
    }
    let (_, records) = flows::records(&gateway.config).await?;
    let owners = Owners::of(&records);
    let mut lines = Vec::new();
    for head in found {
        // One that was damaged since is skipped.
        let Ok(message) = &head.message else { continue };
        lines.extend_from_slice(b"{\"letter\":");
        serde_json::to_writer(&mut lines, &summary(&head, &owners)).map_err(|_| GatewayError::Broken { what: "writing a dead letter" })?;
        lines.extend_from_slice(b",\"message\":");
        message_json::write(message, &mut lines);
        // The message ends with its own line end, which must follow the whole object.
        lines.pop();
        lines.extend_from_slice(b"}\n");
    }
    Ok(ndjson(Body::from(lines)))
}

/// The positions of the dead letters of a message.
async fn cursors_of(gateway: &Gateway, id: MessageId) -> Result<Vec<Cursor>> {
    let mut found = Vec::new();
    let mut start = BrowseStart::Oldest;
    while found.len() < WHOLE_COUNT {
        let page = list_heads(gateway, start, PAGE_COUNT, 0).await?;
        let Some(last) = page.messages.last() else { break };
        start = BrowseStart::Behind(last.cursor);
        let has_id = |head: &&Browsed| head.message.as_ref().is_ok_and(|message| message.id == Some(id));
        found.extend(page.messages.iter().filter(has_id).map(|head| head.cursor));
    }
    found.truncate(WHOLE_COUNT);
    Ok(found)
}

fn summary(head: &Browsed, owners: &Owners) -> DeadLetterSummary {
    let (message, unreadable) = match &head.message {
        Ok(message) => (message.clone(), None),
        Err(problem) => (weir_pubsub::Message::default(), Some(problem.clone())),
    };
    let letter = DeadLetter::of_message(&message).unwrap_or_default();
    let owner = owners.owner(&letter);
    let (processor, variant) = owner.as_ref().map(|owner| (owner.processor.clone(), owner.variant.clone())).unwrap_or_default();
    DeadLetterSummary {
        position: head.cursor.into(),
        id: message.id.map(|id| id.to_string()),
        lost: letter.cut.map(|cut| cut.to_string()),
        topic: letter.topic,
        subscription: letter.subscription,
        error: letter.error,
        reason: letter.reason,
        attempts_count: letter.attempts_count,
        digest: letter.digest,
        component: letter.component,
        time_ms: letter.time_ms,
        config_version: letter.config_version,
        flows: owner.map(|owner| owner.flows).unwrap_or_default(),
        processor,
        variant,
        unreadable,
        body: String::from_utf8_lossy(&message.body[..message.body.len().min(SHOWN_BYTES)]).into_owned(),
        body_bytes: head.body_bytes,
    }
}
