//! Supervises all roles: none may end unexpectedly, and the first one that does ends the process with its reason.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_all};

/// A role, and the reason why it ended, once it has.
pub(crate) struct Watched<'a> {
    role: &'static str,
    ended: BoxFuture<'a, String>,
}

impl<'a> Watched<'a> {
    /// Watches a role with a future that completes when the role has ended unexpectedly.
    pub(crate) fn new(role: &'static str, ended: impl Future<Output = String> + Send + 'a) -> Self {
        Watched { role, ended: ended.boxed() }
    }
}

/// A role that ended unexpectedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedRole {
    /// Which, for people.
    pub(crate) role: &'static str,
    /// Why.
    pub(crate) reason: String,
}

/// Waits for the first role that ends. If several have ended, returns the first in the list, so list a role before those that depend on it.
///
/// # Cancel safety
/// That of the futures.
pub(crate) async fn first_to_end(watched: Vec<Watched<'_>>) -> EndedRole {
    let ends = watched.into_iter().map(|Watched { role, ended }| ended.map(move |reason| EndedRole { role, reason }).boxed());
    select_all(ends).await.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn the_first_ended_role_is_named_with_its_reason() {
        let task = tokio::spawn(async { panic!("no more") });
        let watched = vec![
            Watched::new("the broker", pending()),
            Watched::new("the flow service", async { task.await.map_or_else(weir_pubsub::task_failure, |()| String::new()) }),
            Watched::new("the gateway", pending()),
        ];
        assert_eq!(first_to_end(watched).await, EndedRole { role: "the flow service", reason: "panic: no more".to_owned() });
    }

    #[tokio::test]
    async fn of_two_ended_roles_the_one_others_depend_on_is_named() {
        let watched = ["the broker", "the gateway"].map(|role| Watched::new(role, ready("gone".to_owned())));
        assert_eq!(first_to_end(watched.into()).await.role, "the broker");
    }
}
