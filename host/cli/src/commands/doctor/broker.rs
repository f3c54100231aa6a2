//! An external broker: whether it is reachable, the permissions of its user, and what only its operator sets. The probe leaves nothing behind.

use std::time::Duration;

use tokio::time::timeout;
use weir_pubsub::{
    Backend, BrokerKind, Class, Delete, Message, Policy, PolicyState, Provision, PubsubError, Queue, QueueSpec, RequestQueues, Topic,
    chain, shown_url,
};

use super::finding::{Finding, fail, ok, skip, warn};
use super::locks as services;
use crate::problem::Problem;
use crate::roles::{reach_within, refused, try_message};
use crate::settings::Settings;

/// How long the broker may take to answer, and to accept a connection.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the broker may take to confirm a message.
const CONFIRM_TIME: Duration = Duration::from_secs(5);
/// How long the broker may take to store a message in a queue.
const STORE_TIME: Duration = Duration::from_secs(5);

/// All checks of an external broker; none for the embedded one.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "broker";
    if !settings.broker.kind().is_shared {
        return Vec::new();
    }
    let url = shown_url(&settings.broker.url);
    let backend = match timeout(RESPONSE_TIMEOUT, reach_within(settings, CONNECT_TIMEOUT)).await {
        Ok(Ok(backend)) => backend,
        Ok(Err(problem)) => return vec![refusal(CHECK, &problem)],
        Err(_) => {
            let what = format!("{url} cannot be reached within {} s", RESPONSE_TIMEOUT.as_secs());
            return vec![fail(CHECK, what, "start it, or correct broker.url")];
        }
    };
    let mut findings = vec![ok(CHECK, format!("{url} answers"))];
    findings.push(messages(&*backend, settings).await);
    findings.extend(match timeout(RESPONSE_TIMEOUT, probe(&*backend, settings)).await {
        Ok(Ok(())) => {
            let rights = ok("rights", "the user may create, use and delete queues");
            let requests = settings.broker.kind().request_queues.as_ref().map(|known| request_queues(&*backend, known));
            std::iter::once(rights).chain(requests).collect()
        }
        Ok(Err(problem)) => vec![refusal("rights", &problem)],
        Err(_) => vec![fail("rights", "the broker does not answer", "check the broker's log")],
    });
    findings.extend(locks(&*backend, &settings.topicspace).await);
    findings.extend(policies(&*backend, settings).await);
    backend.close().await;
    findings
}

/// Checks that it accepts messages.
async fn messages(backend: &dyn Backend, settings: &Settings) -> Finding {
    const CHECK: &str = "messages";
    const NEXT: &str = "free memory or disk on the broker's nodes, and on those that store for it; its log reports alarms";
    let tried = match timeout(CONFIRM_TIME, try_message(backend, settings)).await {
        // A broker that cannot store messages still passes on signals.
        Ok(Ok(())) => timeout(STORE_TIME + RESPONSE_TIMEOUT, store_message(backend, settings)).await,
        tried => tried,
    };
    match tried {
        Ok(Ok(())) => ok(CHECK, "the broker accepts them"),
        Ok(Err(error)) if error.is_transient() => fail(CHECK, chain(&error), NEXT),
        Ok(Err(error)) => refusal(CHECK, &refused(settings, error)),
        Err(_) => {
            let silent = || format!("the broker does not confirm a message within {} s", CONFIRM_TIME.as_secs());
            fail(CHECK, backend.outage().unwrap_or_else(silent), NEXT)
        }
    }
}

/// Publishes a message to a queue like those of flows, and deletes the queue again, even if publishing times out.
async fn store_message(backend: &dyn Backend, settings: &Settings) -> Result<(), PubsubError> {
    let queue = probe_queue(Class::Flow, settings)?;
    let stored = async {
        backend.create_queue(&QueueSpec::new(queue.clone())).await?;
        backend.producer(queue.topic()).await?.publish_confirmed(Message::new("probe")).await
    };
    // The queue is deleted in any case, without waiting long.
    let stored = timeout(STORE_TIME, stored).await;
    let deleted = backend.delete_queue(&queue, Delete::Always).await;
    stored.unwrap_or_else(|_| {
        Err(PubsubError::unavailable(format!("the broker does not store a message within {} s", STORE_TIME.as_secs())))
    })?;
    deleted.map(|_| ())
}

/// A queue only for this process.
fn probe_queue(class: Class, settings: &Settings) -> Result<Queue, PubsubError> {
    let named = Topic::new(class, &settings.topicspace, &format!("weir-doctor-{}", std::process::id()))
        .and_then(|topic| Queue::new(topic, "probe".parse()?));
    named.map_err(|error| PubsubError::refused_because("the topicspace cannot be used", error))
}

/// Creates a queue like those of requests, and deletes it.
async fn probe(backend: &dyn Backend, settings: &Settings) -> Result<(), Problem> {
    let queue = probe_queue(Class::Request, settings).map_err(|error| refused(settings, error))?;
    let refused = |error: PubsubError| refused(settings, error);
    let made = backend.create_queue(&QueueSpec::new(queue.clone())).await;
    let deleted = backend.delete_queue(&queue, Delete::Always).await;
    made.map_err(refused)?;
    deleted.map(|_| ()).map_err(refused)
}

fn refusal(check: &'static str, problem: &Problem) -> Finding {
    fail(check, chain(problem), problem.next_step().unwrap_or("check the broker's log"))
}

/// Whether request queues match the declarations of TrustGraph's own services, and the consequences.
fn request_queues(backend: &dyn Backend, known: &RequestQueues) -> Finding {
    const CHECK: &str = "request queues";
    match backend.notices().first() {
        Some(notice) => warn(CHECK, notice.text.clone(), format!("supported by Weir; {}", known.otherwise)),
        None => ok(CHECK, known.as_declared),
    }
}

/// Time limit for checking the locks: the node of one may be down, which the broker reports after some seconds.
const LOCKS_TIME: Duration = Duration::from_secs(25);

async fn locks(backend: &dyn Backend, topicspace: &str) -> Vec<Finding> {
    match timeout(LOCKS_TIME, services::check(backend, topicspace)).await {
        Ok(findings) => findings,
        Err(_) => vec![fail("locks", "the broker does not show which processes hold the locks of the services", "check the broker's log")],
    }
}

/// Time limit for all requests to the management API.
const MANAGEMENT_TIME: Duration = Duration::from_secs(30);

/// Policies, which only the broker's operator can set.
async fn policies(backend: &dyn Backend, settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "queue policies";
    match timeout(MANAGEMENT_TIME, backend.policies(&settings.topicspace, Provision::Look)).await {
        Ok(Ok(policies)) => vec![of_policies(CHECK, settings.broker.kind(), &policies)],
        Ok(Err(error)) => vec![fail(CHECK, chain(&error), settings.broker.kind().policies_fix)],
        Err(_) => vec![fail(CHECK, "the management API does not answer", "check the broker's log")],
    }
}

fn of_policies(check: &'static str, kind: &BrokerKind, policies: &[Policy]) -> Finding {
    let missing = policies.iter().filter_map(|policy| match &policy.state {
        PolicyState::Missing(what) | PolicyState::Limited(what) | PolicyState::Blocking(what) => {
            Some((format!("{}: {what}: {}", policy.name, policy.reason), policy.command.as_str()))
        }
        _ => None,
    });
    let (missing, commands): (Vec<String>, Vec<&str>) = missing.unzip();
    if !missing.is_empty() {
        let is_blocking = policies.iter().any(|policy| matches!(policy.state, PolicyState::Blocking(_)));
        let (what, next) = (missing.join("\n"), format!("{}: {}", kind.policies_missing, commands.join("; ")));
        return if is_blocking { fail(check, what, next) } else { warn(check, what, next) };
    }
    let unknown = policies.iter().find_map(|policy| match &policy.state {
        PolicyState::Unknown { list_command } => Some(list_command),
        _ => None,
    });
    if let Some(list_command) = unknown {
        let commands: Vec<&str> = policies.iter().map(|policy| policy.command.as_str()).collect();
        let (what, next) = kind.policies_unseen;
        return skip(check, what, format!("{next}: {list_command}; Weir needs: {}", commands.join("; ")));
    }
    let told = policies.iter().map(|policy| match &policy.state {
        PolicyState::NotNeeded(why) => format!("{}: not needed, {why}", policy.name),
        _ => format!("{}: set", policy.name),
    });
    ok(check, told.collect::<Vec<_>>().join("; "))
}
