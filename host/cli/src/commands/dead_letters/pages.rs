//! The list of dead letters, one page per request.

use weir_gateway::protocol::{DeadLetters, Position};

use crate::client::escaped;
use crate::commands::Session;
use crate::problem::Problem;

/// Maximum number of dead letters per request.
pub(super) const PAGE_COUNT: u32 = 1000;

/// The selected dead letters, oldest first.
pub(super) struct Pages<'s> {
    session: &'s Session,
    query: String,
    after: Option<Position>,
}

impl<'s> Pages<'s> {
    /// Those of a flow and a processor; without both, all.
    pub(super) fn of(session: &'s Session, flow: Option<&str>, processor: Option<&str>) -> Self {
        let query = [("flow", flow), ("processor", processor)].into_iter().filter_map(|(name, value)| Some(parameter(name, value?)));
        Pages { session, query: query.collect(), after: None }
    }

    /// Those with an id.
    pub(super) fn with_id(session: &'s Session, id: &str) -> Self {
        Pages { session, query: parameter("id", id), after: None }
    }

    /// The next page, and whether there may be another.
    pub(super) async fn next(&mut self, limit: u32) -> Result<(DeadLetters, bool), Problem> {
        let after = self.after.as_ref().map_or(String::new(), |after| parameter("after", &after.to_string()));
        let path = format!("/api/v1/weir/dead-letters?limit={limit}{after}{}", self.query);
        let page: DeadLetters = self.session.client.get(&path).await?;
        let more = page.next_after.is_some();
        if more {
            self.after.clone_from(&page.next_after);
        }
        Ok((page, more))
    }

    /// The position after which the next page begins.
    pub(super) fn after(&self) -> Option<&Position> {
        self.after.as_ref()
    }
}

fn parameter(name: &str, value: &str) -> String {
    format!("&{name}={}", escaped(value))
}
