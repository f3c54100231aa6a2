//! One worker: takes a message, passes it to an instance, hands it to the settler, and takes the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_pubsub::{Backoff, Delivery, DeliveryCount, Message, PubsubError, Receipt};

use crate::config_state::ConfigState;
use crate::dead_lettering::GiveUpReason;
use crate::error::RuntimeError;
use crate::failure::{AfterFailure, FaultKind, History, is_suspected_poison};
use crate::generation::{Generation, HeldInstance, WarmCounts};
use crate::host_context::HostContext;
use crate::input_receiver::InputReceiver;
use crate::instance::Instance;
use crate::message_trace;
use crate::outcome::{Answered, Fault, Outcome};
use crate::output_budget::{Account, Charge};
use crate::oversized::Oversized;
use crate::program::Program;
use crate::settler::{Settlement, SettlementKind};
use crate::slots::{Purpose, SlotPermit, Slots};
use crate::status::{ErrorSource, InFlight, VariantStatus, count};
use crate::suspects::{MAX_TRIALS_COUNT, NoteName};
use weir_pubsub::chain;

/// How long an instance is kept without a message.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Takes the messages of one input, one at a time.
pub(crate) struct Worker {
    pub(crate) host: Arc<HostContext>,
    /// Its number among the workers of the input, from 0.
    pub(crate) number: u32,
    /// The program of its instance, even if a newer one exists.
    pub(crate) program: Arc<Program>,
    /// The newest generation, to which it switches between two messages and before each attempt.
    pub(crate) generation: watch::Receiver<Arc<Generation>>,
    /// Counts the instances of the workers.
    pub(crate) warm: WarmCounts,
    pub(crate) slots: Slots,
    pub(crate) receiver: InputReceiver,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    /// The index of the input among the program's.
    pub(crate) input: usize,
    pub(crate) settler: mpsc::Sender<Settlement>,
    /// The account that the outputs of its messages are charged to.
    pub(crate) account: Arc<Account>,
    pub(crate) status: Arc<VariantStatus>,
    /// Messages whose outputs the broker refused as too large.
    pub(crate) oversized: Arc<Oversized>,
    /// Cancelled when no further message may be taken.
    pub(crate) stop: CancellationToken,
    pub(crate) held: Option<HeldInstance>,
    /// For the next instance to be created.
    pub(crate) slot: Option<SlotPermit>,
    /// Counts the message in flight.
    pub(crate) in_flight: Option<InFlight>,
    /// The last field, so that it is dropped after the consumer.
    pub(crate) _alive: TaskTrackerToken,
}

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum WorkerExit {
    /// It was stopped.
    Stopped,
    /// The number of workers was reduced.
    Surplus,
    /// The consumer is unusable.
    Lost(PubsubError),
}

/// Why a message must not be tried.
struct SkipReason {
    error: &'static str,
    reason: String,
    /// Whether an earlier attempt has answered it.
    answered: Answered,
}

/// An attempt could not be made because the worker stops.
struct Interrupted;

impl Worker {
    /// Runs until it is stopped or the consumer is lost, and returns its number and why it ended. A message in flight is finished first,
    /// one in backoff is requeued.
    pub(crate) async fn run(mut self) -> (u32, WorkerExit) {
        let ended = loop {
            self.slot = None;
            self.switch_generation();
            if self.is_surplus() {
                break WorkerExit::Surplus;
            }
            let is_cold = self.held.is_none();
            let (purpose, slots_count) = if is_cold { self.program.needs(self.input) } else { (Purpose::Flow, 0) };
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => break WorkerExit::Stopped,
                received = self.receiver.next(), if !is_cold => received,
                received = self.receiver.next_with_slot(purpose, slots_count), if is_cold => received.map(|(delivery, slot)| {
                    self.slot = Some(slot);
                    delivery
                }),
                Ok(()) = self.generation.changed() => continue,
                // Immediately and not with the next message, so that the component's error about a faulty change is visible.
                Ok(()) = self.config.changed(), if self.follows_config() => {
                    self.refresh().await;
                    continue;
                }
                () = self.slots.shortage(), if self.held.is_some() => {
                    self.held = None;
                    continue;
                }
                () = tokio::time::sleep(IDLE), if self.held.is_some() => {
                    self.held = None;
                    continue;
                }
            };
            match received {
                Ok(delivery) => {
                    self.in_flight = Some(InFlight::begin(&self.status));
                    self.work(delivery).await;
                }
                Err(PubsubError::Lagged { .. }) => {}
                Err(error) => break WorkerExit::Lost(error),
            }
        };
        (self.number, ended)
    }

    /// Whether it has an instance that a change of the configuration may concern. All others sleep through it: there may be thousands.
    fn follows_config(&self) -> bool {
        self.held.is_some() && !self.program.variant.config_types.is_empty()
    }

    /// Whether the number of workers was reduced, so that it ends after its message.
    fn is_surplus(&self) -> bool {
        self.number >= self.program.variant.inputs[self.input].concurrency
    }

    /// Switches to the newest generation, if it is another one, and takes one of its instances, if it has none and one is ready. Nothing
    /// else takes anything from a generation, so that its program, its concurrency and its instances are applied together.
    fn switch_generation(&mut self) {
        let newest = self.generation.borrow_and_update().clone();
        if !Arc::ptr_eq(&newest.program, &self.program) {
            // The slots for one component do not fit another.
            (self.held, self.slot) = (None, None);
            self.program = newest.program.clone();
        }
        if self.held.is_some() || self.is_surplus() {
            return;
        }
        if let Some(instance) = newest.take(self.input) {
            self.held = Some(HeldInstance::new(instance, &self.warm, self.input));
            // The instance was set up with the configuration of that time.
            self.config.mark_changed();
        }
    }

    async fn work(&mut self, delivery: Delivery) {
        let Delivery { message, receipt, delivery_count } = delivery;
        let mut history = History::default();
        if message_trace::is_enabled() {
            message_trace::received(&self.program.variant, self.input, &message, delivery_count.at_least());
        }
        // The requester stops waiting for an answer at this time.
        let expires_at = message.expires_in.and_then(|left| Instant::now().checked_add(left));
        let suspect = self.suspect_note(&message, delivery_count);
        if let Some(SkipReason { error, reason, answered }) = self.skip_reason(&message, delivery_count, suspect, &mut history).await {
            self.status.note_error(ErrorSource::Message, &format!("{error}: {reason}"));
            let lost = GiveUpReason { error, reason: &reason, answered, attempts_count: history.attempts_count };
            return self.give_up(receipt, &message, lost).await;
        }
        loop {
            let (attempt, began) = (history.attempts_count + 1, message_trace::now());
            let tried = match suspect {
                None => self.attempt(&message, attempt).await,
                Some(name) => self.attempt_suspect(&message, attempt, name).await,
            };
            let Ok(outcome) = tried else {
                return self.requeue(receipt, &message).await;
            };
            let fault = match outcome {
                Outcome::Done(handled) => {
                    if let Some(began) = began {
                        message_trace::handled(&self.program.variant, &message, attempt, began, &handled);
                    }
                    let (already_sent_count, dropped_count) = (handled.already_sent_count, handled.dropped_count);
                    let kind = SettlementKind::Handled;
                    let (message_id, outputs, charge) = (message.id, handled.outputs, handled.charge);
                    if let Err(error) = self.program.variant.message_limits.check_settle(&outputs) {
                        // Another attempt would send as much.
                        let reason = &chain(&error);
                        let lost = GiveUpReason { error: "too-large", reason, answered: Answered::InFull, attempts_count: attempt };
                        return self.give_up(receipt, &message, lost).await;
                    }
                    let in_flight = self.in_flight.take();
                    return self
                        .settle(Settlement {
                            receipt,
                            message_id,
                            outputs,
                            already_sent_count,
                            dropped_count,
                            kind,
                            in_flight,
                            _charge: charge,
                        })
                        .await;
                }
                Outcome::Failed(fault) if fault.kind == FaultKind::Yielded => match self.wait_for_budget().await {
                    Ok(()) => continue,
                    Err(Interrupted) => return self.requeue(receipt, &message).await,
                },
                Outcome::Failed(fault) => fault,
            };
            let next = self.next(&fault, &message, &mut history);
            let attempts_count = history.attempts_count;
            let lost = GiveUpReason { error: fault.kind.word(), reason: &fault.reason, answered: fault.answered, attempts_count };
            match next {
                AfterFailure::Again { wait } if expires_at.is_some_and(|at| Instant::now() + wait >= at) => {
                    return self.give_up(receipt, &message, lost).await;
                }
                AfterFailure::Again { wait } => {
                    if self.wait_before_retry(wait, fault.kind.requests_delay()).await.is_err() {
                        return self.requeue(receipt, &message).await;
                    }
                }
                AfterFailure::DeadLetter => return self.give_up(receipt, &message, lost).await,
                AfterFailure::Requeue => return self.requeue(receipt, &message).await,
            }
        }
    }

    /// The name of its note, for a message that may be crashing its hosts.
    fn suspect_note(&self, message: &Message, delivery_count: DeliveryCount) -> Option<NoteName> {
        let id = message.id.filter(|_| is_suspected_poison(delivery_count, &self.program.variant.retry))?;
        Some(NoteName::new(id, self.program.variant.inputs[self.input].queue.subscription()))
    }

    /// Why a message must not be tried.
    async fn skip_reason(
        &mut self,
        message: &Message,
        delivery_count: DeliveryCount,
        suspect: Option<NoteName>,
        history: &mut History,
    ) -> Option<SkipReason> {
        if let Some((attempts_count, reason)) = message.id.and_then(|id| self.oversized.give_up_reason(id)) {
            history.attempts_count = attempts_count;
            return Some(SkipReason { error: "too-large", reason, answered: Answered::InFull });
        }
        if let Some(name) = suspect {
            let suspects = self.program.loaded.engine.suspects();
            let trials_count = suspects.trials_count(name).await;
            if trials_count >= MAX_TRIALS_COUNT {
                history.attempts_count = trials_count;
                suspects.forget(name).await;
                let count = match delivery_count {
                    DeliveryCount::Exact(count) => format!("{count}"),
                    DeliveryCount::AtLeast(count) => format!("at least {count}"),
                };
                let reason = format!(
                    "delivered {count} times, and the last {trials_count} attempts had no outcome: the host ended, or the component was busy"
                );
                return Some(SkipReason { error: "deliveries", reason, answered: Answered::Not });
            }
        }
        let (size, limit) = (message.body.len(), self.program.variant.message_limits.max_message_bytes);
        (size > limit).then(|| {
            let reason = format!("the body has {size} bytes; the limit is {limit}");
            SkipReason { error: "too-large", reason, answered: Answered::Not }
        })
    }

    /// Waits before the next attempt. A component other than the one that failed need not wait, unless the delay was requested.
    async fn wait_before_retry(&mut self, wait: Duration, is_asked_for: bool) -> Result<(), Interrupted> {
        let waited = tokio::time::sleep(wait);
        tokio::pin!(waited);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interrupted),
                () = &mut waited => return Ok(()),
                Ok(()) = self.generation.changed() => {
                    self.switch_generation();
                    if !is_asked_for {
                        return Ok(());
                    }
                }
                () = self.slots.shortage(), if self.held.is_some() || self.slot.is_some() => (self.held, self.slot) = (None, None),
            }
        }
    }

    /// Waits, without an instance, until a message that yielded before may be retried.
    async fn wait_for_budget(&mut self) -> Result<(), Interrupted> {
        self.stop.run_until_cancelled(self.account.admit_next()).await.ok_or(Interrupted)
    }

    /// As [`Worker::attempt`], under a note that survives the host.
    async fn attempt_suspect(&mut self, message: &Message, attempt: u32, name: NoteName) -> Result<Outcome, Interrupted> {
        let suspects = self.program.loaded.engine.suspects().clone();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let (stop, slots) = (self.stop.clone(), self.slots.clone());
        let trial = loop {
            // Before its turn, so that creating the instance does not delay others.
            self.ready_instance().await?;
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Interrupted),
                turn = suspects.turn() => turn,
                () = slots.shortage() => {
                    // Without an instance until the turn is free: a new one would have to yield again.
                    self.held = None;
                    drop(stop.run_until_cancelled(suspects.turn()).await.ok_or(Interrupted)?);
                    continue;
                }
            };
            match suspects.begin(name, turn).await {
                Ok(trial) => break trial,
                Err(error) => {
                    let error = format!("a message is waiting because no record of it can be written: {error}");
                    self.status.note_error(ErrorSource::Message, &error);
                }
            }
            let wait = backoff.next_wait(&mut rand::rng());
            stop.run_until_cancelled(tokio::time::sleep(wait)).await.ok_or(Interrupted)?;
        };
        let outcome = self.attempt(message, attempt).await;
        match &outcome {
            // Counts as unsuccessful, like an attempt that crashed the host.
            Ok(Outcome::Failed(fault)) if matches!(fault.kind, FaultKind::Busy(_)) => drop(trial),
            _ => trial.end().await,
        }
        outcome
    }

    async fn attempt(&mut self, message: &Message, attempt: u32) -> Result<Outcome, Interrupted> {
        let (input, account) = (self.input, self.account.clone());
        let instance = self.ready_instance().await?;
        instance.charge_to(account);
        let outcome = instance.handle(input, message, attempt).await;
        let needs_replacement = instance.needs_replacement();
        let is_spent = match &outcome {
            Outcome::Done(_) => needs_replacement || instance.has_used_its_quantum(),
            Outcome::Failed(fault) => fault.kind.breaks_instance() || needs_replacement,
        };
        if is_spent {
            let held = self.held.take();
            if let Some(held) = held.filter(|_| needs_replacement) {
                let instance = &held.instance;
                self.program.replacements.note(&self.program.variant, instance.calls_count(), &instance.memory_use(), &self.status);
            }
        }
        Ok(outcome)
    }

    /// The instance, with the current program and configuration; creation is retried until it succeeds.
    async fn ready_instance(&mut self) -> Result<&mut Instance, Interrupted> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.switch_generation();
            if self.held.is_some() && self.config.has_changed().unwrap_or(false) {
                self.refresh().await;
            }
            if self.held.is_some() {
                self.slot = None;
                break;
            }
            match self.start_instance().await? {
                Ok(instance) => {
                    self.status.end_errors(|of| *of == ErrorSource::Setup);
                    self.held = Some(HeldInstance::new(instance, &self.warm, self.input));
                    break;
                }
                Err(error) => self.note(&error),
            }
            let wait = backoff.next_wait(&mut rand::rng());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interrupted),
                () = tokio::time::sleep(wait) => {}
                // Another component may not fail.
                Ok(()) = self.generation.changed() => backoff.reset(),
            }
        }
        Ok(&mut self.held.as_mut().expect("the loop ended with it").instance)
    }

    /// Creates an instance.
    async fn start_instance(&mut self) -> Result<Result<Instance, RuntimeError>, Interrupted> {
        let (program, config) = (self.program.clone(), self.config.borrow_and_update().clone());
        let (taken, receiver, (purpose, slots_count)) = (self.slot.take(), self.receiver.clone(), program.needs(self.input));
        let starting = async {
            let slot = match taken {
                Some(slot) => slot,
                None => receiver.slot(purpose, slots_count).await,
            };
            Instance::start(slot, &program, config).await
        };
        self.stop.run_until_cancelled(starting).await.ok_or(Interrupted)
    }

    async fn refresh(&mut self) {
        let config = self.config.borrow_and_update().clone();
        let Some(held) = &mut self.held else { return };
        match held.instance.refresh(&config).await {
            Ok(()) => self.status.end_errors(|of| *of == ErrorSource::Setup),
            Err(error) => {
                if !matches!(error, RuntimeError::SetupRefused { .. }) {
                    self.held = None;
                }
                self.note(&error);
            }
        }
    }

    fn note(&self, error: &RuntimeError) {
        let error = chain(error);
        tracing::warn!(processor = self.status.key.processor, variant = self.status.key.variant, error, "component setup failed");
        self.status.note_error(ErrorSource::Setup, &error);
    }

    /// Counts a fault, reports it and decides the next step.
    fn next(&self, fault: &Fault, message: &Message, history: &mut History) -> AfterFailure {
        let counters = &self.status.counters;
        if fault.kind.counts() {
            count(&counters.failed);
            self.status.note_error(ErrorSource::Message, &format!("{}: {}", fault.kind.word(), fault.reason));
        }
        if fault.kind.breaks_instance() {
            count(&counters.trapped);
        }
        let next = history.next(fault.kind, &self.program.variant.retry, &mut rand::rng());
        // Once a part of an answer has left, another attempt would repeat it.
        let next = if fault.answered == Answered::Not { next } else { AfterFailure::DeadLetter };
        message_trace::failed(&self.program.variant, message, history.attempts_count, fault, next);
        next
    }

    /// Gives a message up and has the resulting message settled.
    async fn give_up(&mut self, receipt: Receipt, message: &Message, lost: GiveUpReason<'_>) {
        let (program, config_version) = (self.program.clone(), self.config.borrow().version);
        let (kind, outputs) =
            lost.give_up(&program.variant, self.input, message, config_version, self.host.dead_letters.queue.topic()).await;
        let (message_id, in_flight, _charge) = (message.id, self.in_flight.take(), Charge::default());
        self.settle(Settlement { receipt, message_id, outputs, already_sent_count: 0, dropped_count: 0, kind, in_flight, _charge }).await;
    }

    async fn settle(&mut self, settlement: Settlement) {
        let room = self.settler.reserve();
        tokio::pin!(room);
        loop {
            tokio::select! {
                biased;
                // The settler ends only after its workers; if it panicked, they are stopped and the message is redelivered.
                room = &mut room => {
                    if let Ok(room) = room {
                        room.send(settlement);
                    }
                    return;
                }
                // It may wait for minutes for a queue or a disk.
                () = self.slots.shortage(), if self.held.is_some() => self.held = None,
            }
        }
    }

    async fn requeue(&mut self, receipt: Receipt, message: &Message) {
        self.in_flight = None;
        message_trace::requeued(&self.program.variant, message);
        if let Err(error) = self.host.backend.requeue(&receipt).await {
            let message_id = message.id.map(tracing::field::display);
            tracing::debug!(processor = &*self.program.variant.processor, message_id, error = %chain(&error), "message not requeued");
        }
    }
}
