//! One instance of a component, and one call of `handle`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Store;
use weir_config::Change;
use weir_pubsub::{DEFAULT_CONTENT_TYPE, Message};

use crate::background::{metered, to_foreground};
use crate::bindings::Processor;
use crate::bindings::setup::Configurable;
use crate::bindings::weir::processor::delivery::{Failure, MessageParam, Verdict};
use crate::call::{AnswerState, Phase, TimeLeft};
use crate::config_state::ConfigState;
use crate::error::RuntimeError;
use crate::failure::FaultKind;
use crate::guest::Guest;
use crate::imports::is_reserved;
use crate::outcome::{Answered, Fault, Handled, Outcome};
use crate::output_budget::{Account, Charge};
use crate::program::Program;
use crate::slots::SlotPermit;
use crate::untimed_waits::UntimedWaits;

/// How long an instance may keep its slot while others wait for one.
const SLOT_QUANTUM: Duration = Duration::from_secs(1);
/// The longest reason of a component that is kept, in bytes; dead letters keep 8 KiB of it.
const MAX_REASON_BYTES: usize = 64 << 10;

/// An instance of a program's component. It handles one message at a time.
pub struct Instance {
    program: Arc<Program>,
    store: Store<Guest>,
    processor: Processor,
    setup: Option<Configurable>,
    waits: UntimedWaits,
    began: Instant,
    calls_count: u32,
    _slot: SlotPermit,
}

impl Instance {
    /// Creates an instance in the slot taken for it, and sets it up.
    ///
    /// # Errors
    /// `Instance` (try again), `ComponentUnfit`, `SetupRefused`, `SetupFailed`.
    pub(crate) async fn start(slot: SlotPermit, program: &Arc<Program>, config: Arc<ConfigState>) -> Result<Self, RuntimeError> {
        let mut instance = Self::make(program, config, slot).await?;
        let all = program.variant.config_types.clone();
        instance.configure(&all).await?;
        instance.store.data_mut().memory.note_start();
        Ok(instance)
    }

    /// The same for the messages of an input, given by its index, if a slot is free.
    ///
    /// # Errors
    /// As [`Instance::start`].
    pub(crate) async fn start_if_room(
        program: &Arc<Program>,
        input: usize,
        config: Arc<ConfigState>,
    ) -> Result<Option<Self>, RuntimeError> {
        let (purpose, count) = program.needs(input);
        match program.loaded.engine.slots().try_acquire(purpose, count) {
            Some(slot) => Self::start(slot, program, config).await.map(Some),
            None => Ok(None),
        }
    }

    /// Creates an instance as a worker does, with this configuration: for benches, which need one without a host.
    ///
    /// # Errors
    /// `Instance` (try again), `ComponentUnfit`, `SetupRefused`, `SetupFailed`.
    pub async fn start_alone(program: &Arc<Program>, config: Change) -> Result<Self, RuntimeError> {
        let slot = program.slot(0).await;
        Self::start(slot, program, Arc::new(ConfigState::default().after(config, None))).await
    }

    async fn make(program: &Arc<Program>, config: Arc<ConfigState>, slot: SlotPermit) -> Result<Self, RuntimeError> {
        let loaded = &program.loaded;
        // Not the whole state: thousands of idle instances would keep as many old ones.
        let config = Arc::new(config.only(&program.variant.config_types));
        let mut store = Store::new(loaded.engine.inner(), Guest::new(program.variant.clone(), config));
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let limit = Duration::from_millis(program.variant.limits.time_ms);
        let waits = store.data().waits.clone();
        let made = within(limit, &waits, loaded.pre.instantiate_async(&mut store)).await;
        let instance = match made {
            Some(Ok(instance)) => instance,
            Some(Err(error)) => return Err(not_made(program, &store, error)),
            None => return Err(RuntimeError::SetupFailed { reason: "the time limit expired while it was created".to_owned() }),
        };
        let unfit = |error: wasmtime::Error| RuntimeError::ComponentUnfit { digest: loaded.digest, source: error.into() };
        let processor = loaded.processor.load(&mut store, &instance).map_err(unfit)?;
        let setup = match &loaded.setup {
            Some(indices) => Some(indices.load(&mut store, &instance).map_err(unfit)?),
            None => None,
        };
        Ok(Instance { program: program.clone(), store, processor, setup, waits, began: Instant::now(), calls_count: 0, _slot: slot })
    }

    /// Applies a new state of the configuration, and informs the component if a type that it declares has changed.
    ///
    /// # Errors
    /// `SetupRefused`: it continues with its old state; `SetupFailed`: the instance is unusable.
    pub(crate) async fn refresh(&mut self, config: &Arc<ConfigState>) -> Result<(), RuntimeError> {
        let old = &self.store.data().config;
        let changed: Vec<String> =
            self.program.variant.config_types.iter().filter(|name| old.version_of(name) != config.version_of(name)).cloned().collect();
        let config = Arc::new(config.only(&self.program.variant.config_types));
        let old = std::mem::replace(&mut self.store.data_mut().config, config);
        if changed.is_empty() {
            return Ok(());
        }
        let configured = self.configure(&changed).await;
        if matches!(configured, Err(RuntimeError::SetupRefused { .. })) {
            // Its state and the configuration that it reads must be consistent.
            self.store.data_mut().config = old;
        }
        configured
    }

    async fn configure(&mut self, changed: &[String]) -> Result<(), RuntimeError> {
        let Some(setup) = &self.setup else { return Ok(()) };
        let limit = Duration::from_millis(self.program.variant.limits.time_ms);
        let call = &mut self.store.data_mut().call;
        (call.phase, call.time) = (Phase::Setup, TimeLeft::of(limit));
        self.store.set_epoch_deadline(1);
        let ended = within(limit, &self.waits, setup.weir_processor_setup().call_configure(&mut self.store, changed)).await;
        self.store.data_mut().call.phase = Phase::Idle;
        match ended {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(reason))) => Err(RuntimeError::SetupRefused { reason: cut(reason) }),
            Some(Err(error)) => Err(RuntimeError::SetupFailed { reason: self.broken(&error) }),
            None => {
                Err(RuntimeError::SetupFailed { reason: format!("its time limit of {} ms expired", self.program.variant.limits.time_ms) })
            }
        }
    }

    /// Charges what the next message sends to this account.
    pub(crate) fn charge_to(&mut self, account: Arc<Account>) {
        self.store.data_mut().call.charge = Charge::to(account);
    }

    /// Handles one message of an input, given by its index. After a fault that breaks it, the instance must be dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped, the instance must be dropped too.
    pub async fn handle(&mut self, input: usize, message: &Message, attempt: u32) -> Outcome {
        let limit = Duration::from_millis(self.program.variant.limits.time_ms);
        self.calls_count = self.calls_count.saturating_add(1);
        let guest = self.store.data_mut();
        guest.call.begin(&self.program.variant, input, message, attempt, guest.config.version);
        guest.log_context.set_message(guest.call.id, attempt);
        guest.stderr.forget_tail();
        self.store.set_epoch_deadline(1);
        let properties = shown_properties(message);
        let shown = MessageParam {
            body: &message.body,
            content_type: message.content_type.as_deref().filter(|kind| *kind != DEFAULT_CONTENT_TYPE),
            properties: &properties,
        };
        let handler = self.processor.weir_processor_handler();
        let ended = within(limit, &self.waits, handler.call_handle(&mut self.store, &self.program.variant.inputs[input].name, shown)).await;
        let outcome = match ended {
            Some(Ok(Ok(()))) => Outcome::Done(self.take_handled().await),
            Some(Ok(Err(failure))) => Outcome::Failed(self.failed(failure)),
            Some(Err(error)) if self.store.data().call.has_yielded => Outcome::Failed(self.fault(FaultKind::Yielded, error.to_string())),
            Some(Err(error)) => Outcome::Failed(self.fault(FaultKind::Trap, self.broken(&error))),
            None => {
                let reason = format!(
                    "the time limit of {} ms expired (raise it: weir deploy --limit time-ms=N)",
                    self.program.variant.limits.time_ms
                );
                let reason = self.with_stderr(reason);
                Outcome::Failed(self.fault(FaultKind::TimeOut, reason))
            }
        };
        self.store.data_mut().call.end();
        outcome
    }

    /// Whether it should be replaced before the next message.
    pub(crate) fn needs_replacement(&self) -> bool {
        self.store.data().memory.is_half_used()
    }

    /// How many messages it was given, counting repeated attempts.
    pub(crate) fn calls_count(&self) -> u32 {
        self.calls_count
    }

    /// Its memory use, for display.
    pub fn memory_use(&self) -> String {
        self.store.data().memory.shown()
    }

    /// Whether it has used its slot for long enough while others wait for one.
    pub(crate) fn has_used_its_quantum(&self) -> bool {
        self.program.loaded.engine.slots().has_waiters() && self.began.elapsed() > SLOT_QUANTUM
    }

    async fn take_handled(&mut self) -> Handled {
        let call = &mut self.store.data_mut().call;
        if matches!(call.answer, AnswerState::Open | AnswerState::Begun) {
            self.end_answer().await;
        }
        let call = &mut self.store.data_mut().call;
        call.charge.end_attempt();
        let (outputs, charge) = (std::mem::take(&mut call.outputs), std::mem::take(&mut call.charge));
        Handled { outputs, already_sent_count: call.already_sent_count, dropped_count: call.dropped_count, charge }
    }

    /// Ends an answer whose last part was not marked, with an empty part.
    async fn end_answer(&mut self) {
        let call = &self.store.data().call;
        let (input, correlation) = (&self.program.variant.inputs[call.input], call.correlation.clone());
        let (Some(output), Some(correlation)) = (input.reply, correlation) else { return };
        let mut message = Message::default().with(weir_pubsub::CORRELATION_ID, correlation);
        message.from = Some(call.from.clone());
        let message_id = call.id;
        if let Err(error) = self.program.variant.publish(output, message).await {
            let processor = &*self.program.variant.processor;
            tracing::warn!(processor, %message_id, error = %weir_pubsub::chain(&error), "answer not completed");
        }
    }

    fn failed(&self, failure: Failure) -> Fault {
        let asked = failure.delay_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let kind = match failure.verdict {
            Verdict::Retry => FaultKind::Retry(asked),
            Verdict::Busy => FaultKind::Busy(asked),
            Verdict::Reject => FaultKind::Reject,
        };
        self.fault(kind, cut(failure.reason))
    }

    fn fault(&self, kind: FaultKind, reason: String) -> Fault {
        let answered = match self.store.data().call.answer {
            AnswerState::None | AnswerState::Open => Answered::Not,
            AnswerState::Begun => Answered::InPart,
            AnswerState::Ended => Answered::InFull,
        };
        Fault { kind, reason, answered }
    }

    /// A trap or an exit, for display.
    fn broken(&self, error: &wasmtime::Error) -> String {
        let what = match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            Some(exit) => format!("the component exited with code {}", exit.0),
            None => error.root_cause().to_string(),
        };
        let (processor, message_id) = (&*self.program.variant.processor, self.store.data().call.id);
        tracing::debug!(processor, %message_id, error = %format!("{error:?}"), "component crashed");
        let what = match self.store.data().memory.refusal() {
            Some(refusal) => format!("{what}; {refusal}"),
            None => what,
        };
        self.with_stderr(what)
    }

    fn with_stderr(&self, reason: String) -> String {
        let tail = self.store.data().stderr.take_tail();
        if tail.is_empty() { reason } else { format!("{reason}; stderr: {tail}") }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("program", &self.program).finish_non_exhaustive()
    }
}

fn not_made(program: &Program, store: &Store<Guest>, error: wasmtime::Error) -> RuntimeError {
    match store.data().memory.refusal() {
        Some(refusal) => RuntimeError::Entry { problem: format!("the component failed to start: {refusal}") },
        None if error.is::<wasmtime::Trap>() => {
            let reason = format!("{}: {}", program.variant.deployment, error.root_cause());
            RuntimeError::SetupFailed { reason }
        }
        None => RuntimeError::Instance(error.into()),
    }
}

/// The properties that a component sees.
fn shown_properties(message: &Message) -> Vec<(&str, &str)> {
    if message.properties.is_empty() {
        return Vec::new();
    }
    message.properties.iter().filter(|(name, _)| !is_reserved(name)).collect()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    text
}

/// Waits for a call no longer than this, excluding the time for which it waits for the host. Most calls never wait: only one that does gets
/// a timer, and its CPU time is measured from then on.
async fn within<T>(limit: Duration, waits: &UntimedWaits, call: impl Future<Output = T>) -> Option<T> {
    waits.reset();
    let mut call = pin!(call);
    match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => {
            let ended = waits.within(limit, metered(call)).await;
            to_foreground().await;
            ended
        }
    }
}
