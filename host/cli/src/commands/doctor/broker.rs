//! A broker elsewhere: whether it is reached, what its user may do there, and what only its operator sees. The probe leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir_pubsub::{Backend, BrokerSettings, Class, Delete, PubsubError, Queue, QueueSpec, Topic, chain, connect, is_embedded, shown_url};

use super::{Finding, fail, ok, skip, warn};
use crate::advice::{PERMIT_LINE, list_policies, policies};
use crate::problem::Problem;
use crate::roles::{make_exchange, not_connected, refused};
use crate::settings::Settings;

/// How long the broker may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// All checks of a broker elsewhere; none of the one inside the process.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    const CHECK: &str = "broker";
    if is_embedded(&settings.broker.url) {
        return Vec::new();
    }
    let url = shown_url(&settings.broker.url);
    let backend = match timeout(ANSWER_TIME, reach(&settings.broker, settings)).await {
        Ok(Ok(backend)) => backend,
        Ok(Err(problem)) => return vec![refusal(CHECK, &problem), unknown(settings)],
        Err(_) => {
            let what = format!("{url} cannot be reached within {} s", ANSWER_TIME.as_secs());
            return vec![fail(CHECK, what, "start it, or correct broker.url"), unknown(settings)];
        }
    };
    let mut findings = vec![ok(CHECK, format!("{url} answers"))];
    findings.extend(match timeout(ANSWER_TIME, probe(&*backend, settings)).await {
        Ok(Ok(())) => vec![ok("rights", "the user may make, use and delete queues"), request_queues(&*backend)],
        Ok(Err(problem)) => vec![refusal("rights", &problem)],
        Err(_) => vec![fail("rights", "the broker does not answer", "look at the log of the broker")],
    });
    findings.push(unknown(settings));
    backend.close().await;
    findings
}

async fn reach(broker: &BrokerSettings, settings: &Settings) -> Result<Arc<dyn Backend>, Problem> {
    let backend = connect(broker).await.map_err(|error| not_connected(settings, error))?;
    make_exchange(&*backend, settings).await?;
    Ok(backend)
}

/// Makes a queue like those of requests, and deletes it.
async fn probe(backend: &dyn Backend, settings: &Settings) -> Result<(), Problem> {
    let named = Topic::new(Class::Request, &settings.topicspace, &format!("weir-doctor-{}", std::process::id()))
        .and_then(|topic| Queue::new(topic, "probe".parse()?));
    let queue = named.map_err(|error| refused(settings, error))?;
    let refused = |error: PubsubError| refused(settings, error);
    let made = backend.create_queue(&QueueSpec::new(queue.clone())).await;
    let deleted = backend.delete_queue(&queue, Delete::Always).await;
    made.map_err(refused)?;
    deleted.map(|_| ()).map_err(refused)
}

fn refusal(check: &'static str, problem: &Problem) -> Finding {
    fail(check, chain(problem), problem.next_step().unwrap_or("look at the log of the broker"))
}

/// Whether request queues are as TrustGraph's own services declare them.
fn request_queues(backend: &dyn Backend) -> Finding {
    const CHECK: &str = "request queues";
    match backend.notices().first() {
        Some(notice) => warn(
            CHECK,
            notice.text.clone(),
            format!("Weir works with them; if services of TrustGraph itself use this broker, set `{PERMIT_LINE}` on all nodes"),
        ),
        None => {
            ok(CHECK, format!("not durable; before an upgrade to RabbitMQ 4.3 set `{PERMIT_LINE}`, or delete them, or it does not boot"))
        }
    }
}

/// What is only to be seen over the management API or on the broker's machine.
fn unknown(settings: &Settings) -> Finding {
    let commands: Vec<String> = policies(settings).into_iter().map(|(command, _)| command).collect();
    let what = "unknown: policies are not visible over AMQP";
    skip("queue policies", what, format!("{}; Weir needs: {}", list_policies(settings), commands.join("; ")))
}
