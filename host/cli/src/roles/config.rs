//! The config service.
//!
//! The configuration is a file in the data folder of the process that serves it. A process on another folder must not take over the requests: the
//! flows would vanish for everyone. So if another process answers them, this one never runs a config service. If the lock is held and requests get no
//! answer, the holder is most likely this process's previous incarnation, until the broker notices that it has exited: then a process that has a
//! configuration stands by, and one without a configuration waits for as long as a broker may take to notice, and ends with an error.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use weir_config::names::dead_letters;
use weir_config::{ConfigClient, ConfigService, Store};

use super::standby::{POLL_INTERVAL, Role, is_held, take_over};
use super::{Context, unusable};
use crate::problem::{Exit, Problem};

/// How long the process that serves requests may take to answer one.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a broker may consider a process alive after its machine or network has failed: three heartbeats of 10 s, plus a margin.
const RELEASE_TIME: Duration = Duration::from_secs(35);

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
                warn_about_another_configuration(context).await;
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
        tracing::warn!(wait_s = RELEASE_TIME.as_secs(), "waiting for the lock of the config service: its holder does not answer");
        let begun = begin_within(RELEASE_TIME, begin, || answers(client.clone())).await?;
        if begun.is_some() {
            warn_about_another_configuration(context).await;
        }
        return Ok(begun.map_or(Role::Off, Role::Running));
    }
    tracing::warn!("standing by: another config service holds its lock, and does not answer");
    let client = client.clone();
    Ok(Role::StandingBy(tokio::spawn(take_over(begin, move || answers(client.clone())))))
}

/// Tries to start a service until its lock is free, for as long as the broker may take to notice that a holder has exited. `None`: another process
/// answers requests, so there is no point in waiting.
///
/// # Errors
/// Those of the start; a problem if the lock is not free.
pub(super) async fn begin_within<S, F, G>(time: Duration, begin: impl Fn() -> F, is_answered: impl Fn() -> G) -> anyhow::Result<Option<S>>
where
    F: Future<Output = anyhow::Result<S>>,
    G: Future<Output = bool>,
{
    let deadline = Instant::now() + time;
    loop {
        match begin().await {
            Ok(service) => return Ok(Some(service)),
            Err(error) if !is_held(&error) => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(silent(error).into()),
            Err(_) if is_answered().await => return Ok(None),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Whether a config service of another process answers.
async fn answers(client: ConfigClient) -> bool {
    let is_there = matches!(tokio::time::timeout(RESPONSE_TIMEOUT, client.version()).await, Ok(Ok(_)));
    if is_there {
        tracing::warn!(
            "config service not started: another process serves the configuration from its own data folder, and this process uses that one; \
                 the configuration in this folder is ignored"
        );
    }
    is_there
}

fn silent(error: anyhow::Error) -> Problem {
    Problem::new(
        Exit::Unavailable,
        "another process holds the lock of the config service and does not answer, and this data folder is empty",
    )
    .because(error)
    .next("end that process (weir doctor shows which one it is), or start Weir on the data folder that has the configuration")
}

/// Warns if the configuration is empty although there are queues of an earlier one: the data folder is probably wrong.
async fn warn_about_another_configuration(context: &Context<'_>) {
    if !context.backend.is_shared() {
        return;
    }
    let Ok(queue) = dead_letters(context.topicspace()) else { return };
    if context.backend.queue_exists(&queue).await.unwrap_or(false) {
        tracing::warn!(
            queue = %queue,
            "the configuration of this data folder is empty, but another Weir has used this broker: its flows are unknown here, and hosts \
                 stop them; if they are needed, stop this process and start it on the data folder that has them"
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::Cell;

    use weir_config::ConfigError;

    use super::*;

    fn held<S>() -> anyhow::Result<S> {
        Err(ConfigError::Held { what: "weir.lock.config.tg".to_owned() }.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_of_a_dead_process_is_awaited() {
        let began = Instant::now();
        let begin = || std::future::ready(if began.elapsed() > Duration::from_secs(30) { Ok(1) } else { held() });
        assert_eq!(begin_within(RELEASE_TIME, begin, || std::future::ready(false)).await.unwrap(), Some(1));
        assert!(began.elapsed() < Duration::from_secs(33), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_stays_held_is_an_error() {
        let began = Instant::now();
        let error = begin_within(RELEASE_TIME, || std::future::ready(held::<()>()), || std::future::ready(false)).await.unwrap_err();
        assert!(began.elapsed() >= RELEASE_TIME);
        assert!(format!("{error:#}").contains("another config service holds weir.lock.config.tg"), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_responsive_lock_holder_is_not_waited_for() {
        let (began, asked) = (Instant::now(), Cell::new(0));
        let is_answered = || {
            asked.set(asked.get() + 1);
            std::future::ready(asked.get() == 3)
        };
        assert_eq!(begin_within(RELEASE_TIME, || std::future::ready(held::<()>()), is_answered).await.unwrap(), None);
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}
