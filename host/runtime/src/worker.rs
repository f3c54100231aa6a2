//! One worker: takes a message, has it handled, hands it to the settler, and takes the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_config::records::DeadLetter;
use weir_pubsub::{Backoff, CORRELATION_ID, Consumer, Delivery, Message, Output, PubsubError, Receipt, Routing, Topic, WEIR_ERROR};

use crate::config_state::ConfigState;
use crate::error::RuntimeError;
use crate::failure::{History, Next, is_delivered_in_vain};
use crate::instance::{Answered, Fault, Instance, Outcome};
use crate::program::Program;
use crate::settler::{Settlement, SettlementKind};
use crate::status::{VariantStatus, count};
use weir_pubsub::chain;

/// How long a worker keeps an instance without a message.
const IDLE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Takes the messages of one input, one at a time.
pub(crate) struct Worker {
    pub(crate) program: watch::Receiver<Arc<Program>>,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    /// The place of the input among the program's.
    pub(crate) input: usize,
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) settler: mpsc::Sender<Settlement>,
    pub(crate) status: Arc<VariantStatus>,
    pub(crate) dead_letters: Topic,
    /// Cancelled when no further message is to be taken.
    pub(crate) stop: CancellationToken,
    pub(crate) instance: Option<Instance>,
    /// Last, so that it goes after the consumer.
    pub(crate) _alive: TaskTrackerToken,
}

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was told to stop.
    Stopped,
    /// The consumer is of no use any more.
    Lost(PubsubError),
}

/// Why a message is given up.
struct Lost<'a> {
    error: &'static str,
    reason: &'a str,
    answered: Answered,
}

/// What is left when an attempt could not even be made.
struct Stopped;

impl Worker {
    /// Works until it is told to stop or the consumer is lost. A message in hand is finished first, one in backoff is given back.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ended::Stopped,
                received = self.consumer.receive() => received,
                () = tokio::time::sleep(IDLE), if self.instance.is_some() => {
                    self.instance = None;
                    continue;
                }
            };
            match received {
                Ok(delivery) => {
                    count(&self.status.counters.received);
                    self.work(delivery).await;
                }
                Err(PubsubError::Lagged { .. }) => {}
                Err(error) => return Ended::Lost(error),
            }
        }
    }

    async fn work(&mut self, delivery: Delivery) {
        let Delivery { message, receipt, delivery_count } = delivery;
        let mut history = History::default();
        // Nobody waits for the answer to a request any longer than this.
        let expires_at = message.expires_in.and_then(|left| Instant::now().checked_add(left));
        if let Some((error, reason)) = self.unfit(&message, delivery_count) {
            let lost = Lost { error, reason: &reason, answered: Answered::Not };
            return self.give_up(receipt, &message, lost, &history).await;
        }
        loop {
            let Ok(outcome) = self.attempt(&message, history.attempts_count + 1).await else {
                return self.give_back(receipt).await;
            };
            let fault = match outcome {
                Outcome::Done(handled) => {
                    let (left_count, dropped_count) = (handled.left_count, handled.dropped_count);
                    let kind = SettlementKind::Handled;
                    return self.settle(Settlement { receipt, outputs: handled.outputs, left_count, dropped_count, kind }).await;
                }
                Outcome::Failed(fault) => fault,
            };
            let lost = Lost { error: fault.kind.word(), reason: &fault.reason, answered: fault.answered };
            match self.next(&fault, &mut history) {
                Next::Again { wait } if expires_at.is_some_and(|at| Instant::now() + wait >= at) => {
                    return self.give_up(receipt, &message, lost, &history).await;
                }
                Next::Again { wait } => {
                    if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return self.give_back(receipt).await;
                    }
                }
                Next::DeadLetter => return self.give_up(receipt, &message, lost, &history).await,
                Next::GiveBack => return self.give_back(receipt).await,
            }
        }
    }

    /// Why a message must not even be tried.
    fn unfit(&self, message: &Message, delivery_count: u32) -> Option<(&'static str, String)> {
        let program = self.program.borrow();
        if is_delivered_in_vain(delivery_count, &program.retry) {
            return Some(("deliveries", format!("delivered {delivery_count} times without being settled")));
        }
        let (size, limit) = (message.body.len(), program.message_limits.max_message_bytes);
        (size > limit).then(|| ("too-large", format!("the body has {size} bytes, of at most {limit}")))
    }

    async fn attempt(&mut self, message: &Message, attempt: u32) -> Result<Outcome, Stopped> {
        let input = self.input;
        let instance = self.ready_instance().await?;
        let outcome = instance.handle(input, message, attempt).await;
        let is_spent = match &outcome {
            Outcome::Done(_) => instance.is_worn(),
            Outcome::Failed(fault) => fault.kind.breaks_instance() || instance.is_worn(),
        };
        if is_spent {
            self.instance = None;
        }
        Ok(outcome)
    }

    /// The instance, of the program and with the configuration of now.
    async fn ready_instance(&mut self) -> Result<&mut Instance, Stopped> {
        if self.program.has_changed().unwrap_or(false) {
            self.program.mark_unchanged();
            self.instance = None;
        }
        if self.instance.is_some() && self.config.has_changed().unwrap_or(false) {
            self.refresh().await;
        }
        if self.instance.is_none() {
            self.instance = Some(self.start_instance().await?);
        }
        Ok(self.instance.as_mut().expect("it was just made"))
    }

    /// Makes an instance, as often as it takes.
    async fn start_instance(&mut self) -> Result<Instance, Stopped> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let program = self.program.borrow_and_update().clone();
            let config = self.config.borrow_and_update().clone();
            let Some(started) = self.stop.run_until_cancelled(Instance::start(&program, config)).await else { return Err(Stopped) };
            match started {
                Ok(instance) => return Ok(instance),
                Err(error) => self.note(&error),
            }
            let wait = backoff.next_wait(&mut rand::rng());
            if self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(Stopped);
            }
        }
    }

    async fn refresh(&mut self) {
        let config = self.config.borrow_and_update().clone();
        let Some(instance) = &mut self.instance else { return };
        if let Err(error) = instance.refresh(&config).await {
            if !matches!(error, RuntimeError::SetupRefused { .. }) {
                self.instance = None;
            }
            self.note(&error);
        }
    }

    fn note(&self, error: &RuntimeError) {
        let error = chain(error);
        tracing::warn!(processor = self.status.key.processor, variant = self.status.key.variant, error, "component cannot be set up");
        self.status.note_error(&error);
    }

    /// Counts a fault, tells of it and decides what comes next.
    fn next(&self, fault: &Fault, history: &mut History) -> Next {
        let program = self.program.borrow();
        let counters = &self.status.counters;
        if fault.kind.counts() {
            count(&counters.failed);
            self.status.note_error(&format!("{}: {}", fault.kind.word(), fault.reason));
        }
        if fault.kind.breaks_instance() {
            count(&counters.trapped);
        }
        let next = history.next(fault.kind, &program.retry, &mut rand::rng());
        tracing::debug!(
            processor = &*program.processor,
            variant = &*program.variant,
            component = &*program.deployment,
            verdict = fault.kind.word(),
            reason = fault.reason,
            attempt = history.attempts_count,
            next = ?next,
            "message could not be handled"
        );
        // Once a part of an answer has left, another attempt would repeat it.
        if fault.answered == Answered::Not { next } else { Next::DeadLetter }
    }

    /// Gives a message up: a request is answered with the error, anything else becomes a dead letter.
    async fn give_up(&mut self, receipt: Receipt, message: &Message, lost: Lost<'_>, history: &History) {
        let Lost { error, reason, answered } = lost;
        let program = self.program.borrow().clone();
        let input = &program.inputs[self.input];
        tracing::warn!(
            processor = &*program.processor,
            variant = &*program.variant,
            flow = &*program.flow,
            component = &*program.deployment,
            message_id = message.id.map(tracing::field::display),
            attempt = history.attempts_count,
            error,
            reason,
            "message given up"
        );
        if input.is_request() {
            if answered != Answered::InFull {
                answer_with_error(&program, self.input, message, error, reason).await;
            }
            let kind = SettlementKind::Answered;
            return self.settle(Settlement { receipt, outputs: Vec::new(), left_count: 0, dropped_count: 0, kind }).await;
        }
        let letter = DeadLetter {
            topic: input.queue.topic().to_string(),
            subscription: input.queue.subscription().to_string(),
            error: error.to_owned(),
            reason: reason.to_owned(),
            attempts_count: history.attempts_count,
            digest: program.component.digest.to_string(),
        };
        let message = letter.to_message(message, &program.message_limits);
        let outputs = vec![Output { topic: self.dead_letters.clone(), message, routing: Routing::Required }];
        let kind = SettlementKind::DeadLetter;
        self.settle(Settlement { receipt, outputs, left_count: 0, dropped_count: 0, kind }).await;
    }

    async fn settle(&mut self, settlement: Settlement) {
        // The settler ends only after its workers; if it broke, the message comes again.
        let _ = self.settler.send(settlement).await;
    }

    async fn give_back(&mut self, receipt: Receipt) {
        count(&self.status.counters.let_go);
        let backend = self.program.borrow().surroundings.backend.clone();
        if let Err(error) = backend.give_back(&receipt).await {
            tracing::debug!(%error, "message could not be given back");
        }
    }
}

async fn answer_with_error(program: &Program, input: usize, request: &Message, error: &str, reason: &str) {
    let (Some(output), Some(id)) = (program.inputs[input].reply, request.properties.get(CORRELATION_ID)) else { return };
    let body = serde_json::json!({"error": {"type": error, "message": reason}}).to_string();
    let answer = Message::new(body).with(CORRELATION_ID, id).with(WEIR_ERROR, error);
    if let Err(error) = program.publish(output, answer).await {
        tracing::warn!(processor = &*program.processor, %error, "requester could not be told of the error");
    }
}
