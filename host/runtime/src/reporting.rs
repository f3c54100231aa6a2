//! When a host reports: summaries on `notify:TOPICSPACE:weir-status` every 5 s and soon after a change, details on `response:TOPICSPACE:weir-status`
//! on request on `notify:TOPICSPACE:weir-ask`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::FollowerStatus;
use weir_config::names;
use weir_config::records::{DetailsRequest, ReportMessages};
use weir_pubsub::{Backend, Message, NameError, PubsubError, SubscriptionEvent, Topic, chain, listen};

use crate::status_board::StatusBoard;

/// How often a host publishes its summary without a change.
const INTERVAL: Duration = Duration::from_secs(5);
/// When the first summary is published: readers that start together with the host get it soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// How long a change waits for others to be reported with it.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The longest delay of a change.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(1);
/// The shortest time between two answers with details.
const SHORTEST_GAP: Duration = Duration::from_millis(5);
/// Details use at most one part in this many of a processor's time, regardless of the number of variants and requests.
const SHARE: u32 = 5;
/// The same for summaries of changes, which take less: every start and stop of a flow causes some.
const SHARE_OF_CHANGES: u32 = 30;
/// The most requests that one answer names; the oldest ones are dropped, and their senders use what they have.
const MAX_ANSWERS_COUNT: usize = 1_024;

/// The topics of a host's reports and of requests for details.
struct Topics {
    summaries: Topic,
    details: Topic,
    asks: Topic,
}

impl Topics {
    fn of(topicspace: &str) -> Result<Self, NameError> {
        Ok(Topics {
            summaries: names::status_summaries(topicspace)?,
            details: names::status_details(topicspace)?,
            asks: names::status_asks(topicspace)?,
        })
    }
}

/// Publishes the content of a host's board.
pub(crate) struct Reporter {
    board: Arc<StatusBoard>,
    backend: Arc<dyn Backend>,
    topics: Topics,
    /// The largest summary message, in bytes.
    max_summary_bytes: usize,
    /// The largest details message, in bytes.
    max_details_bytes: usize,
    config: watch::Receiver<FollowerStatus>,
    /// Ids of requests that are not answered yet.
    asked: Mutex<Vec<u64>>,
    has_asked: Notify,
}

impl Reporter {
    /// A reporter of this board.
    ///
    /// # Errors
    /// If the topicspace is not a valid name.
    pub(crate) fn new(
        board: Arc<StatusBoard>,
        backend: Arc<dyn Backend>,
        topicspace: &str,
        config: watch::Receiver<FollowerStatus>,
    ) -> Result<Self, NameError> {
        let limits = backend.limits();
        Ok(Reporter {
            max_summary_bytes: limits.max_message_bytes,
            max_details_bytes: limits.max_message_bytes.min(limits.max_answer_bytes),
            board,
            backend,
            topics: Topics::of(topicspace)?,
            config,
            asked: Mutex::default(),
            has_asked: Notify::new(),
        })
    }

    /// Reports until the token is cancelled, then publishes a last summary.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = self.summarize(stop) => {}
            () = self.answer() => {}
            never = self.listen() => match never {},
        }
    }

    async fn summarize(&self, stop: CancellationToken) {
        let mut config = self.config.clone();
        let mut next_tick = Instant::now() + FIRST_INTERVAL;
        let (mut cost, mut health) = (Duration::ZERO, Health::of("summary"));
        let mut due: Option<Instant> = None;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = self.board.changed(), if due.is_none() => {
                    due = Some(Instant::now() + debounce(cost));
                    continue;
                }
                Ok(()) = config.changed(), if due.is_none() => {
                    due = Some(Instant::now() + debounce(cost));
                    continue;
                }
                () = tokio::time::sleep_until(due.map_or(next_tick, |due| due.min(next_tick))) => false,
            };
            let began = Instant::now();
            if began >= next_tick {
                self.board.take_rates();
                next_tick = began + INTERVAL;
            }
            let make = || {
                let mut summary = self.board.summary(&config.borrow_and_update());
                summary.status.has_stopped = stopped;
                summary.messages(self.max_summary_bytes)
            };
            cost = made_and_sent(make, |messages| self.publish(&self.topics.summaries, messages, &mut health)).await;
            due = None;
            if stopped {
                return;
            }
        }
    }

    /// Answers requests for details, forever. Requests that arrive while an answer waits for its turn share it; a later one gets another.
    async fn answer(&self) {
        let mut health = Health::of("details");
        loop {
            self.has_asked.notified().await;
            let answers = std::mem::take(&mut *self.asked());
            let make = || self.board.details(&self.config.borrow()).messages(&answers, self.max_details_bytes);
            let cost = made_and_sent(make, |messages| self.publish(&self.topics.details, messages, &mut health)).await;
            tokio::time::sleep(SHORTEST_GAP.max(cost * SHARE)).await;
        }
    }

    async fn publish(&self, topic: &Topic, messages: ReportMessages, health: &mut Health) {
        let ReportMessages { bodies, problem } = messages;
        let published = publish(&*self.backend, topic, bodies).await;
        health.note(&self.board.host, published, problem);
    }

    /// Records incoming requests, forever.
    async fn listen(&self) -> Infallible {
        let subscription = "host".parse().expect("a plain word is a subscription");
        let event = |event| match event {
            SubscriptionEvent::Message(delivery) => {
                let Ok(DetailsRequest { id }) = serde_json::from_slice(&delivery.message.body) else { return };
                let mut asked = self.asked();
                if asked.len() >= MAX_ANSWERS_COUNT {
                    asked.remove(0);
                }
                asked.push(id);
                self.has_asked.notify_one();
            }
            SubscriptionEvent::Missed => self.has_asked.notify_one(),
            SubscriptionEvent::Lost(_) | SubscriptionEvent::Subscribed => {}
        };
        let subject = format!("subscription of host {} to requests for details", self.board.host);
        listen(&*self.backend, (&self.topics.asks, &subscription), None, &subject, event).await
    }

    fn asked(&self) -> MutexGuard<'_, Vec<u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a change is delayed, given the cost of a summary.
fn debounce(cost: Duration) -> Duration {
    DEBOUNCE.max(cost * SHARE).max((cost * SHARE_OF_CHANGES).min(LONGEST_DEBOUNCE))
}

/// Makes something and sends it; returns how long making it took. Waiting for the broker is not counted.
async fn made_and_sent<T, F: Future<Output = ()>>(make: impl FnOnce() -> T, send: impl FnOnce(T) -> F) -> Duration {
    let began = Instant::now();
    let made = make();
    let cost = began.elapsed();
    send(made).await;
    cost
}

async fn publish(backend: &dyn Backend, topic: &Topic, bodies: Vec<Vec<u8>>) -> Result<(), PubsubError> {
    let producer = backend.producer(topic).await?;
    for body in bodies {
        producer.publish_confirmed(Message::new(body)).await?;
    }
    Ok(())
}

/// Whether the reports of one kind are published, and complete, so that each change of that is logged once.
struct Health {
    report: &'static str,
    is_failing: bool,
    is_incomplete: bool,
}

impl Health {
    fn of(report: &'static str) -> Self {
        Health { report, is_failing: false, is_incomplete: false }
    }

    fn note(&mut self, host: &str, published: Result<(), PubsubError>, problem: Option<String>) {
        let report = self.report;
        match &problem {
            Some(problem) if !self.is_incomplete => tracing::warn!(host, report, problem, "host status incomplete"),
            None if self.is_incomplete => tracing::info!(host, report, "host status complete again"),
            Some(_) | None => {}
        }
        self.is_incomplete = problem.is_some();
        match &published {
            Err(error) if !self.is_failing => tracing::warn!(host, report, error = %chain(error), "host status not published"),
            Ok(()) if self.is_failing => tracing::info!(host, report, "host status published again"),
            Ok(()) | Err(_) => {}
        }
        self.is_failing = published.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_answers_late_does_not_make_reports_rarer() {
        let cost = made_and_sent(|| "report", |_| tokio::time::advance(Duration::from_secs(10))).await;
        assert_eq!(cost, Duration::ZERO);
    }
}
