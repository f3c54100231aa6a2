//! Connecting to the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_config::names::CONFIG_SERVICE;
use weir_pubsub::{Backend, BrokerSettings, Class, ConnectError, Message, PubsubError, Recovery, Topic, chain, connect, shown_url};

use super::{unusable, waiting};
use crate::folder::DataFolder;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

/// The wait before the next attempt.
const TRY_TIME: Duration = Duration::from_millis(200);
/// The topic of a message that only shows whether the broker accepts it.
const PROBE: &str = "weir-probe";

/// Connects to the broker of the settings. Waits for one that cannot be reached.
///
/// # Cancel safety
/// Yes, except with the embedded broker, which continues opening its folder.
pub(super) async fn open(folder: &DataFolder, settings: &Settings) -> anyhow::Result<Arc<dyn Backend>> {
    let broker = BrokerSettings { folder: folder.queues(), ..settings.broker.clone() };
    let connecting = async { connect(&broker).await.map_err(|error| not_opened(folder, settings, error)) };
    if !broker.kind().is_shared {
        let backend = connecting.await?;
        #[cfg(debug_assertions)]
        break_on_signal(&backend)?;
        return Ok(backend);
    }
    let reached = async {
        let backend = connecting.await?;
        make_exchange(&*backend, settings).await?;
        until_it_accepts(&*backend, settings).await?;
        Ok(backend)
    };
    let mut reached = std::pin::pin!(reached);
    match tokio::time::timeout(waiting::REPORT_DELAY, &mut reached).await {
        Ok(reached) => reached,
        Err(_) => {
            waiting::print(settings, &format!("the broker {}", shown_url(&settings.broker.url)));
            reached.await
        }
    }
}

/// Creates the exchange of the topicspace, which is the first operation that the broker can refuse.
pub(crate) async fn make_exchange(backend: &dyn Backend, settings: &Settings) -> Result<(), Problem> {
    let topic = exchange_topic(settings)?;
    let make = || async {
        match backend.producer(&topic).await {
            Err(error) if error.is_transient() => Err(error),
            made => Ok(made),
        }
    };
    Recovery::of("exchange of the topicspace").get(make).await.map(|_| ()).map_err(|error| refused(settings, error))
}

/// Connects and creates the exchange, waiting at most `patience` for each of the two.
pub(crate) async fn reach_within(settings: &Settings, patience: Duration) -> Result<Arc<dyn Backend>, Problem> {
    let mut broker = settings.broker.clone();
    broker.pulsar.patience = Some(patience);
    let backend = connect(&broker).await.map_err(|error| not_connected(settings, error))?;
    let topic = exchange_topic(settings)?;
    let end = Instant::now() + patience;
    loop {
        match backend.producer(&topic).await {
            Ok(_) => return Ok(backend),
            Err(error) if !error.is_transient() => return Err(refused(settings, error)),
            Err(error) if Instant::now() >= end => return Err(not_reached(settings, error)),
            Err(_) => tokio::time::sleep(TRY_TIME).await,
        }
    }
}

/// A topic on the exchange of the topicspace.
fn exchange_topic(settings: &Settings) -> Result<Topic, Problem> {
    let topic = CONFIG_SERVICE.responses(&settings.topicspace);
    topic.map_err(|error| Problem::new(Exit::Settings, "the topicspace cannot be used").because(error))
}

/// Publishes a message that has no consumer: a broker under a memory or disk alarm accepts none, and reports this only on publishing.
///
/// # Errors
/// Those of publishing.
pub(crate) async fn try_message(backend: &dyn Backend, settings: &Settings) -> Result<(), PubsubError> {
    let named = Topic::new(Class::Notify, &settings.topicspace, PROBE);
    let topic = named.map_err(|error| PubsubError::refused_because("the topicspace cannot be used", error))?;
    backend.producer(&topic).await?.publish_confirmed(Message::new("probe")).await
}

/// Waits until the broker accepts messages. The services cannot start before.
async fn until_it_accepts(backend: &dyn Backend, settings: &Settings) -> Result<(), Problem> {
    let try_one = || async {
        match try_message(backend, settings).await {
            Err(error) if error.is_transient() => Err(error),
            ended => Ok(ended),
        }
    };
    Recovery::of("first message to the broker").get(try_one).await.map_err(|error| refused(settings, error))
}

/// Why the broker is not available.
fn not_connected(settings: &Settings, error: ConnectError) -> Problem {
    match error {
        ConnectError::Broker(error @ (PubsubError::Refused { .. } | PubsubError::TooLarge { .. })) => refused(settings, error),
        error => not_reached(settings, error),
    }
}

/// The broker does not answer, or answers with an error that may be temporary.
fn not_reached(settings: &Settings, error: impl Into<anyhow::Error>) -> Problem {
    let error = error.into();
    let what = format!("the broker {} cannot be reached", shown_url(&settings.broker.url));
    let setting = if chain(error.as_ref()).contains("broker.pulsar-admin") { "broker.pulsar-admin" } else { "broker.url" };
    let next = format!("start it, or correct {setting}; weir settings show lists where it is set");
    Problem::new(Exit::Unavailable, what).because(error).next(next)
}

fn not_opened(folder: &DataFolder, settings: &Settings, error: ConnectError) -> Problem {
    match error {
        ConnectError::Open(error) => unusable(folder, error),
        error => not_connected(settings, error),
    }
}

/// The broker refuses what Weir needs: a setting is wrong, or the broker is configured differently.
pub(crate) fn refused(settings: &Settings, error: impl Into<anyhow::Error>) -> Problem {
    let error = error.into();
    let what = format!("the broker {} cannot be used", shown_url(&settings.broker.url));
    let next = next_step(&chain(error.as_ref())).replace("TOPICSPACE", &settings.topicspace);
    let problem = Problem::new(Exit::Settings, what).next(next);
    let reasons = error.chain().filter_map(|cause| cause.downcast_ref::<PubsubError>());
    let reason =
        reasons.filter_map(|cause| if let PubsubError::Refused { reason, .. } = cause { Some(reason.clone()) } else { None }).next();
    match reason {
        // Its source is the same text in the client library's wording.
        Some(reason) => problem.because(PubsubError::Refused { reason, source: None }),
        None => problem.because(error),
    }
}

/// The error of a role that did not start, with the fix if the broker refused something.
pub(super) fn explained(settings: &Settings, error: anyhow::Error) -> anyhow::Error {
    let is_refusal = |error: &PubsubError| matches!(error, PubsubError::Refused { .. } | PubsubError::QueueMismatch { .. });
    let is_refused = error.chain().filter_map(|cause| cause.downcast_ref::<PubsubError>()).any(is_refusal);
    if is_refused { refused(settings, error).into() } else { error }
}

/// What to do about a refusal, by what the broker reported.
fn next_step(reason: &str) -> &'static str {
    if reason.contains("ACCESS_REFUSED") && reason.contains("access to") {
        "give the user of broker.url all rights on the virtual host: rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'"
    } else if reason.contains("exchange") && reason.contains("exists and is not") {
        "delete the exchange if nothing uses it, or choose another `topicspace` or another virtual host in broker.url"
    } else if reason.contains("PRECONDITION_FAILED") {
        "delete the conflicting object if nothing uses it, or choose another `topicspace` or another virtual host in broker.url"
    } else if reason.contains("`weir init`") {
        "run weir init with the token of an administrator (broker.token-file); docs/pulsar.md lists what it creates"
    } else if reason.contains("of the tenant") {
        "let an administrator run: pulsar-admin tenants update TOPICSPACE --admin-roles ROLE; docs/pulsar.md lists the rights"
    } else if reason.contains("broker.token-file") {
        "write a valid token into the file of broker.token-file; weir settings show lists where it is set"
    } else if reason.contains("broker.pulsar-admin") {
        "correct broker.pulsar-admin (--pulsar-admin, WEIR_BROKER_PULSAR_ADMIN or the settings file)"
    } else if reason.contains("broker.ca-file") || reason.contains("broker.certificate-file") || reason.contains("broker.key-file") {
        "correct that setting; weir settings show lists where each one is set"
    } else {
        "correct broker.url (--broker, WEIR_BROKER_URL or the settings file); weir settings show lists where it is set"
    }
}

/// SIGUSR2 makes the broker fail, so that tests can check how the process ends. Only in debug builds.
#[cfg(debug_assertions)]
fn break_on_signal(backend: &Arc<dyn Backend>) -> std::io::Result<()> {
    let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2())?;
    let backend = Arc::downgrade(backend);
    tokio::spawn(async move {
        signal.recv().await;
        if let Some(backend) = backend.upgrade() {
            backend.break_for_test();
        }
    });
    Ok(())
}
