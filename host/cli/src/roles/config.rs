//! The config service.
//!
//! The configuration is a file in the data folder of the process that serves it. A process on another folder must not take the requests over:
//! the flows would vanish for all. So where another process answers them, this one runs without a config service as long as it lives. Where
//! the requests are held and get no answer, it is most likely this process's own last life, until the broker notices that it is gone: then a
//! process that has a configuration waits for them, and one without ends with an error.

use std::time::Duration;

use anyhow::Context as _;
use weir_config::names::dead_letters;
use weir_config::{ConfigClient, ConfigService, Store};
use weir_pubsub::is_embedded;

use super::standby::{Role, is_held, take_over};
use super::{Context, unusable};
use crate::problem::{Exit, Problem};

/// How long the process that has the requests may take to answer one.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Starts it on the store in the data folder.
pub(super) async fn start(context: &Context<'_>, client: &ConfigClient) -> anyhow::Result<Role<ConfigService>> {
    let store = Store::open(&context.folder.config()).await.map_err(|error| unusable(context.folder, error))?;
    let is_empty = store.types().await.context("the configuration cannot be read")?.value.is_empty();
    let (backend, topicspace) = (context.backend.clone(), context.topicspace().to_owned());
    let begin = move || {
        let (backend, topicspace, store) = (backend.clone(), topicspace.clone(), store.clone());
        async move { ConfigService::start(backend, &topicspace, store).await.context("the config service did not start") }
    };
    match begin().await {
        Ok(service) => {
            if is_empty {
                warn_of_another_configuration(context).await;
            }
            return Ok(Role::Running(service));
        }
        Err(error) if !is_held(&error) => return Err(error),
        Err(_) => {}
    }
    if answers(client.clone()).await {
        return Ok(Role::Off);
    }
    if is_empty {
        return begin().await.map(Role::Running).map_err(|error| if is_held(&error) { silent(error).into() } else { error });
    }
    tracing::warn!("standing by: another config service holds the requests, and does not answer");
    let client = client.clone();
    Ok(Role::StandingBy(tokio::spawn(take_over(begin, move || answers(client.clone())))))
}

/// Whether a config service answers. It is another process's: this one has none.
async fn answers(client: ConfigClient) -> bool {
    let is_there = matches!(tokio::time::timeout(ANSWER_TIME, client.version()).await, Ok(Ok(_)));
    if is_there {
        tracing::warn!(
            "config service not started: another process serves the configuration of its own data folder, which counts here too; that of this \
             folder is not used"
        );
    }
    is_there
}

fn silent(error: anyhow::Error) -> Problem {
    Problem::new(
        Exit::Unavailable,
        "another process has the requests of the config service and does not answer, and this data folder is empty",
    )
    .because(error)
    .next("start Weir again once that process answers or is gone, or start it on the data folder that has the configuration")
}

/// An empty configuration beside queues of an earlier one is probably on the wrong folder.
async fn warn_of_another_configuration(context: &Context<'_>) {
    if is_embedded(&context.settings.broker.url) {
        return;
    }
    let Ok(queue) = dead_letters(context.topicspace()) else { return };
    if context.backend.queue_exists(&queue).await.unwrap_or(false) {
        tracing::warn!(
            queue = %queue,
            "configuration is empty, but another Weir has used this broker: its flows are not known here; start Weir on the data folder of that \
             one if they are needed"
        );
    }
}
