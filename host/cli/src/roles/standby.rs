//! A service that runs only once on a broker: it stands by while another process holds its lock.

use std::time::Duration;

use tokio::task::JoinHandle;
use weir_config::{ConfigError, ConfigService};
use weir_flow::{FlowError, FlowService};
use weir_pubsub::{PubsubError, chain, task_failure};

/// How often a service that stands by checks whether its lock is free.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A service that may stand by.
pub(super) trait Service: Send + Sized + 'static {
    /// For people.
    const NAME: &'static str;

    /// Waits until it has ended unexpectedly, and returns the reason.
    async fn failed(&mut self) -> String;

    /// Ends it.
    async fn stop(self);
}

impl Service for ConfigService {
    const NAME: &'static str = "config service";

    async fn failed(&mut self) -> String {
        ConfigService::failed(self).await
    }

    async fn stop(self) {
        ConfigService::stop(self).await;
    }
}

impl Service for FlowService {
    const NAME: &'static str = "flow service";

    async fn failed(&mut self) -> String {
        FlowService::failed(self).await
    }

    async fn stop(self) {
        FlowService::stop(self).await;
    }
}

/// A service of this process.
pub(super) enum Role<S> {
    /// It answers requests.
    Running(S),
    /// Another process may hold the lock: a task waits until it is free. `None`: this process must not run the service.
    StandingBy(JoinHandle<anyhow::Result<Option<S>>>),
    /// Another process runs it, and this one does not take it over.
    Off,
}

impl<S: Service> Role<S> {
    /// Whether it answers requests.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Role::Running(_))
    }

    /// Whether requests are answered: here, or by another process.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Role::Running(_) | Role::Off)
    }

    /// A notice for people on start-up; `None` if the service is running.
    pub(super) fn notice(&self) -> Option<String> {
        match self {
            Role::Running(_) => None,
            Role::StandingBy(_) => Some(format!("{}: standing by, another process serves its requests", S::NAME)),
            Role::Off => Some(format!("{}: not started, another process runs it with the configuration of its own data folder", S::NAME)),
        }
    }

    /// Waits until it has ended unexpectedly, and returns the reason; never returns for a service that is off.
    ///
    /// # Cancel safety
    /// Yes.
    pub(super) async fn failed(&mut self) -> String {
        if let Err(reason) = self.decided().await {
            return reason;
        }
        match self {
            Role::Running(service) => service.failed().await,
            Role::StandingBy(_) | Role::Off => std::future::pending().await,
        }
    }

    /// Waits until it no longer stands by.
    ///
    /// # Errors
    /// The reason for which it ended meanwhile.
    ///
    /// # Cancel safety
    /// Yes.
    pub(super) async fn decided(&mut self) -> Result<(), String> {
        let Role::StandingBy(task) = self else { return Ok(()) };
        let (now, ended) = match task.await {
            Ok(Ok(Some(service))) => (Role::Running(service), Ok(())),
            Ok(Ok(None)) => (Role::Off, Ok(())),
            Ok(Err(error)) => (Role::Off, Err(chain(error.as_ref()))),
            Err(error) => (Role::Off, Err(task_failure(error))),
        };
        *self = now;
        ended
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        match self {
            Role::Running(service) => service.stop().await,
            Role::StandingBy(task) => {
                task.abort();
                if let Ok(Ok(Some(service))) = task.await {
                    service.stop().await;
                }
            }
            Role::Off => {}
        }
    }
}

/// Whether another process holds the lock of a service, or took it while the service was starting.
pub(super) fn is_held(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(ConfigError::Held { .. }))
            || matches!(cause.downcast_ref(), Some(FlowError::Held { .. } | FlowError::LockLost { .. } | FlowError::Fenced))
    })
}

/// Tries to start a service until it has its lock. Waits for an unavailable broker. `None`: the holder of the lock keeps it.
///
/// # Errors
/// Permanent ones.
pub(super) async fn take_over<S: Service, F, G>(start: impl Fn() -> F, is_given_up: impl Fn() -> G) -> anyhow::Result<Option<S>>
where
    F: Future<Output = anyhow::Result<S>>,
    G: Future<Output = bool>,
{
    let mut is_logged = false;
    loop {
        match start().await {
            Ok(service) => {
                tracing::warn!(service = S::NAME, "service took over: its lock became free");
                return Ok(Some(service));
            }
            Err(error) if is_held(&error) => {
                is_logged = false;
                if is_given_up().await {
                    return Ok(None);
                }
            }
            Err(error) if is_transient(&error) => {
                if !std::mem::replace(&mut is_logged, true) {
                    tracing::warn!(service = S::NAME, error = chain(error.as_ref()), "service standing by: broker not available");
                }
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<PubsubError>()).any(PubsubError::is_transient)
}
