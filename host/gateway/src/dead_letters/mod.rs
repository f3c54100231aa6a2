//! Dead letters: selecting them, finding the flow that each is from, and processing them. The paths are in [`crate::routes`].

mod owners;
mod processing;
mod selection;

use weir_config::names;
use weir_pubsub::{BrowseStart, Browsed, Cursor, NotACursor, Page, PubsubError, Queue};

use crate::error::{GatewayError, Result};
use crate::gateway::Gateway;

pub(crate) use owners::Owners;
pub(crate) use processing::{Action, BatchReport, Portion, work};
pub(crate) use selection::{DeadLetterKey, Selection, parse_key};

/// The number of dead letters whose heads are in memory at a time.
pub(crate) const PAGE_COUNT: u32 = 128;

/// The queue of the dead letters.
pub(crate) fn queue(gateway: &Gateway) -> Result<Queue> {
    names::dead_letters(&gateway.topicspace).map_err(GatewayError::topicspace)
}

/// The error for a field that is not a valid position.
pub(crate) fn wrong(field: &'static str) -> impl FnOnce(NotACursor) -> GatewayError {
    move |error| GatewayError::BadField { field: field.to_owned(), problem: format!("is not a position: {error}") }
}

/// The heads of the dead letters after a position. Empty if the queue is missing: the flow service creates it.
pub(crate) async fn list_heads(gateway: &Gateway, start: BrowseStart, count: u32, body_bytes: usize) -> Result<Page> {
    match gateway.backend.inspect().browse(&queue(gateway)?, start, count, body_bytes).await {
        Err(PubsubError::QueueNotFound { .. }) => Ok(Page::default()),
        page => page.map_err(GatewayError::broker("the dead letters cannot be read")),
    }
}

/// One whole dead letter; `None` if it does not exist or is held by a consumer of the queue.
pub(crate) async fn whole(gateway: &Gateway, at: Cursor) -> Result<Option<Browsed>, PubsubError> {
    let Ok(queue) = queue(gateway) else { return Ok(None) };
    // Only if it exists: otherwise the next one would be read, which may be large.
    let head = gateway.backend.inspect().browse(&queue, BrowseStart::At(at), 1, 0).await?;
    if head.messages.first().is_none_or(|head| head.cursor != at) {
        return Ok(None);
    }
    let found = gateway.backend.inspect().browse(&queue, BrowseStart::At(at), 1, usize::MAX).await?;
    Ok(found.messages.into_iter().find(|dead_letter| dead_letter.cursor == at))
}
