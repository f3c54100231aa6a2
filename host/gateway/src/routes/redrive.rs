//! `POST /api/v1/weir/dead-letters/redrive` and `.../delete`: resends dead letters to the queues that they came from, or deletes them.

use axum::Json;
use axum::extract::{Request, State};
use weir_pubsub::BrowseStart;

use crate::body;
use crate::dead_letters::{Action, Owners, Portion, Selection, work, wrong};
use crate::error::Result;
use crate::flows;
use crate::gateway::Shared;
use crate::protocol::{DeadLetterOrder, DeadLettersDeleted, DeadLettersRedriven, Position};

/// Maximum size of a request: fits more than 10,000 ids.
const MAX_ORDER_BYTES: usize = 1 << 20;

/// Resends dead letters, each to the queue that it came from, with the message's id.
///
/// Letters that cannot be sent stay and are reported; the others are sent. Select by `ids`, by `flow` and `processor`, or `all`. Letters
/// that arrive in the meantime are not affected.
#[utoipa::path(
    post,
    path = "/api/v1/weir/dead-letters/redrive",
    operation_id = "redrive-dead-letters",
    tag = "dead letters",
    request_body(content = DeadLetterOrder, description = "Which letters"),
    responses((status = 200, description = "The number of letters sent, and those that were not, with the reason", body = DeadLettersRedriven))
)]
pub(crate) async fn redrive(State(gateway): State<Shared>, request: Request) -> Result<Json<DeadLettersRedriven>> {
    let outcome = perform(&gateway, request, Action::Redrive).await?;
    Ok(Json(DeadLettersRedriven {
        redriven_count: outcome.done_count,
        failed_count: outcome.failed_count,
        failures: outcome.failures,
        next_after: outcome.next_after.map(Position::from),
        through: outcome.through.map(Position::from),
    }))
}

/// Deletes dead letters.
///
/// Select by `ids`, by `flow` and `processor`, or `all`. Letters that arrive in the meantime are not affected.
#[utoipa::path(
    post,
    path = "/api/v1/weir/dead-letters/delete",
    operation_id = "delete-dead-letters",
    tag = "dead letters",
    request_body(content = DeadLetterOrder, description = "Which letters"),
    responses((status = 200, description = "The number of letters deleted, and those that were not, with the reason", body = DeadLettersDeleted))
)]
pub(crate) async fn delete(State(gateway): State<Shared>, request: Request) -> Result<Json<DeadLettersDeleted>> {
    let outcome = perform(&gateway, request, Action::Delete).await?;
    Ok(Json(DeadLettersDeleted {
        deleted_count: outcome.done_count,
        failed_count: outcome.failed_count,
        failures: outcome.failures,
        next_after: outcome.next_after.map(Position::from),
        through: outcome.through.map(Position::from),
    }))
}

async fn perform(gateway: &Shared, request: Request, action: Action) -> Result<crate::dead_letters::BatchReport> {
    let order: DeadLetterOrder = body::read_as(request, MAX_ORDER_BYTES, gateway.settings.body_timeout).await?;
    let selection = Selection::read(&order)?;
    let (_, records) = flows::records(&gateway.config).await?;
    let portion = Portion {
        start: order.after.as_ref().map_or(Ok(BrowseStart::Oldest), Position::behind).map_err(wrong("after"))?,
        through: order.through.as_ref().map(Position::cursor).transpose().map_err(wrong("through"))?,
        limit_count: order.limit,
    };
    let outcome = work(gateway, action, selection, &Owners::of(&records), portion).await?;
    let (done_count, failed_count) = (outcome.done_count, outcome.failed_count);
    match action {
        Action::Redrive => tracing::info!(done_count, failed_count, "dead letters resent"),
        Action::Delete => tracing::info!(done_count, failed_count, "dead letters deleted"),
    }
    Ok(outcome)
}
