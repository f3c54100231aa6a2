//! `weir queues`: the contents of each queue.

use anyhow::Result;
use weir_gateway::protocol::Queues;

use super::{Session, flow, status};
use crate::args;
use crate::output::{self, Format};

/// Runs the command.
pub(crate) async fn run(session: &Session, command: args::Queues) -> Result<()> {
    let Queues { mut queues } = session.client.get("/api/v1/weir/queues").await?;
    if let Some(wanted) = &command.flow {
        // Distinguishes a flow without queues from one that does not exist.
        flow::find(session, wanted).await?;
        queues.retain(|queue| queue.flows.contains(wanted));
    }
    match session.format {
        Format::Json => output::json(&queues)?,
        Format::Text => match status::queues(&queues, output::width()) {
            Some(table) => output::line(&table)?,
            None => output::line("no queues")?,
        },
    }
    Ok(())
}
