//! Supervises one variant: a task that works towards its newest desired state, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use weir_config::records::{ComponentRef, ProcessorState, Refusal};
use weir_pubsub::Backoff;

use crate::background::Movable;
use crate::config_state::ConfigState;
use crate::consumed::Consumed;
use crate::desired::{Desired, Workload};
use crate::error::RuntimeError;
use crate::generation::Generation;
use crate::host_context::HostContext;
use crate::instance::Instance;
use crate::processor::Processor;
use crate::program::Program;
use crate::reconcile::{ReconcileAction, next_action};
use crate::slots::{SetupPermit, SlotPermit};
use crate::status::{ErrorSource, VariantKey, VariantStatus, WaitingForSlot, cut, now_ms};
use weir_pubsub::{chain, restart_on_panic};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a setup waits for an instance slot before that is an error.
const SLOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Supervises one variant.
pub(crate) struct VariantSupervisor {
    pub(crate) host: Arc<HostContext>,
    pub(crate) status: Arc<VariantStatus>,
    /// The newest desired state; `None`: it should not exist.
    pub(crate) desired: watch::Receiver<Option<Desired>>,
    /// The outputs of the variant that some flow consumes.
    pub(crate) consumed: Consumed,
    /// Notified when the variant is removed.
    pub(crate) removed: mpsc::Sender<VariantKey>,
    pub(crate) running: Option<RunningWorkload>,
}

/// The running processor, and its workload.
pub(crate) struct RunningWorkload {
    work: Workload,
    processor: Processor,
}

impl VariantSupervisor {
    /// As [`VariantSupervisor::run`], restarted after a panic: what ran is dropped, and its messages are redelivered.
    pub(crate) async fn supervised(self) {
        let VariantSupervisor { host, status, desired, consumed, removed, running: _ } = self;
        let work = || {
            let (host, status, desired) = (host.clone(), status.clone(), desired.clone());
            VariantSupervisor { host, status, desired, consumed: consumed.clone(), removed: removed.clone(), running: None }.run()
        };
        restart_on_panic(&host.stop, work, |panic| status.note_panic(None, panic)).await;
    }

    /// Runs until the host stops or forgets the variant.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let desired = self.desired.borrow_and_update().clone();
            if let Some(Desired::Run(work) | Desired::Paused(work)) = &desired {
                // Done regardless of the rest: settles may be waiting for it.
                self.consumed.set(&work.entry);
            }
            if let Some(desired) = &desired {
                self.status.set_desired(desired.component());
            }
            let again = self.reconcile(desired.as_ref()).await;
            if self.host.stop.is_cancelled() {
                return self.end().await;
            }
            let wait = if again { backoff.next_wait(&mut rand::rng()) } else { Duration::MAX };
            if !again {
                backoff.reset();
            }
            let host = self.host.clone();
            tokio::select! {
                () = host.stop.cancelled() => return self.end().await,
                changed = self.desired.changed() => match changed {
                    Ok(()) => backoff.reset(),
                    Err(_) => return self.end().await,
                },
                () = tokio::time::sleep(wait), if again => {}
            }
        }
    }

    /// Takes the next step. `true`: it failed for a reason that may be temporary, and should be retried.
    async fn reconcile(&mut self, desired: Option<&Desired>) -> bool {
        match next_action(self.running.as_ref().map(|running| &running.work), desired) {
            ReconcileAction::Keep if desired.is_none() => {
                let _ = self.removed.send(self.status.key.clone()).await;
            }
            // The entry names the running component: earlier refusals no longer apply.
            ReconcileAction::Keep => self.clear_component_error(),
            ReconcileAction::Note(work) => self.note(work),
            ReconcileAction::Run(work) => return self.start_or_switch(work).await,
            ReconcileAction::Pause => {
                self.end().await;
                self.status.set_state(ProcessorState::Paused);
            }
            ReconcileAction::Break(problem) => {
                self.end().await;
                self.status.set_nothing_runs();
                self.fail(problem, ProcessorState::Broken);
            }
            ReconcileAction::Stop => {
                self.end().await;
                let _ = self.removed.send(self.status.key.clone()).await;
            }
        }
        false
    }

    /// Applies what does not affect the work itself.
    fn note(&mut self, new: &Workload) {
        if let Some(RunningWorkload { work, .. }) = &mut self.running {
            *work = new.clone();
            self.clear_component_error();
        }
    }

    /// The entry names the running component.
    fn clear_component_error(&self) {
        self.status.forget_passing_refusal();
        self.status.end_errors(|of| *of == ErrorSource::Component);
    }

    /// Starts, or switches to another workload. The old one continues until the new one is ready, or permanently if the new one never
    /// becomes ready and only its component differs.
    async fn start_or_switch(&mut self, work: &Workload) -> bool {
        if self.running.is_none() {
            self.status.set_state(ProcessorState::Starting);
        }
        match self.prepare(work, work).await {
            Some(Ok(generation)) => {
                let missing = work.missing.as_ref().map(|(component, problem)| refusal(component, problem, true));
                self.activate(work, generation, missing).await;
                false
            }
            Some(Err(error)) => self.refused(work, &error).await,
            None => false,
        }
    }

    /// Prepares work while the running work continues; `target` is what it is prepared for. `None`: the desired state changed, or the host
    /// stops; the loop runs again immediately.
    async fn prepare(&self, work: &Workload, target: &Workload) -> Option<Result<Generation, RuntimeError>> {
        tokio::select! {
            prepared = self.prepare_whole(work) => Some(prepared),
            () = self.target_changed(target) => None,
            () = self.host.stop.cancelled() => None,
        }
    }

    /// Waits until the desired state is no longer this one. Flows that consume its outputs come and go; a setup must not restart with each.
    async fn target_changed(&self, target: &Workload) {
        let mut newer = self.desired.clone();
        while newer.changed().await.is_ok() {
            match &*newer.borrow_and_update() {
                Some(Desired::Run(work)) if work.prepares_as(target) => self.consumed.set(&work.entry),
                _ => return,
            }
        }
    }

    /// Fetches, compiles, fits and sets up: at least one instance, and as many as workers have now, so that none of them has to wait.
    async fn prepare_whole(&self, work: &Workload) -> Result<Generation, RuntimeError> {
        let host = &self.host;
        let loaded = host.loader.load(work.component.digest, work.record.size_bytes).await?;
        let names = (&*self.status.key.processor, &*self.status.key.variant);
        let environment = host.program_environment();
        let program = Arc::new(Program::new(names, &work.entry, work.component.clone(), &work.record, loaded, environment)?);
        let types = host.in_use.hold(program.variant.config_types.iter().cloned());
        let mut config = host.config.clone();
        let known =
            config.wait_for(|state| state.covers(&program.variant.config_types)).await.expect("the host outlives its supervisors").clone();
        let warm_counts = self.running.as_ref().map(|running| running.processor.warm_counts()).unwrap_or_default();
        let mut ready: Vec<Vec<Instance>> = program.variant.inputs.iter().map(|_| Vec::new()).collect();
        let warm_count =
            |input: usize| warm_counts.get(input).copied().unwrap_or(0).min(program.variant.inputs[input].concurrency as usize);
        let first = (0..ready.len()).find(|input| warm_count(*input) > 0).unwrap_or(0);
        let (_setup, slot) = self.setup_slot(&program, first, work).await;
        let instance = Movable::new(start(slot, program.clone(), known.clone())).await?;
        if let Some(ready) = ready.get_mut(first) {
            ready.push(instance);
        }
        for (input, ready) in ready.iter_mut().enumerate() {
            while ready.len() < warm_count(input) {
                let (program, known) = (program.clone(), known.clone());
                let starting = Movable::new(async move { Instance::start_if_room(&program, input, known).await });
                let Some(instance) = starting.await? else { break };
                ready.push(instance);
            }
        }
        Ok(Generation::new(program, ready, types))
    }

    /// Waits for a slot to set up an instance. The status shows the wait, after some time as the reason why the work is not applied.
    async fn setup_slot(&self, program: &Program, input: usize, work: &Workload) -> (SetupPermit, SlotPermit) {
        let slots = program.loaded.engine.slots();
        let _waiting = WaitingForSlot::begin(&self.status);
        let waited = async {
            let setup = slots.acquire_setup().await;
            (setup, program.slot(input).await)
        };
        tokio::pin!(waited);
        tokio::select! {
            biased;
            slot = &mut waited => return slot,
            () = tokio::time::sleep(SLOT_TIMEOUT) => self.report_shortage(work, slots.max_count_per_instance()),
        }
        waited.await
    }

    fn report_shortage(&self, work: &Workload, slots_count: u32) {
        let (processor, variant, component) = (&*self.status.key.processor, &*self.status.key.variant, work.component.key());
        let problem = format!(
            "no instance slot became free within {} s, still waiting: all {slots_count} are in use by other processors; stop some of them, \
                 or raise host.instances",
            SLOT_TIMEOUT.as_secs()
        );
        tracing::warn!(processor, variant, component, slots_count, "no free instance slot");
        self.status.set_refused(Some(refusal(&work.component, &problem, false)));
        self.status.note_error(ErrorSource::Component, &problem);
        if self.running.is_none() {
            self.status.set_state(ProcessorState::Failing);
        }
    }

    async fn activate(&mut self, work: &Workload, generation: Generation, refused: Option<Refusal>) {
        self.status.set_work(work.entry.flow.as_deref(), Some(&work.component));
        if refused.is_none() {
            self.status.end_errors(|of| matches!(of, ErrorSource::Component | ErrorSource::Memory));
        }
        self.status.set_refused(refused);
        let (processor, variant, component) = (&*self.status.key.processor, &*self.status.key.variant, work.component.key());
        match &mut self.running {
            Some(running) if running.processor.can_switch_to(&generation.program) => {
                tracing::info!(processor, variant, component, "processor reconfigured");
                running.processor.switch_to(generation);
                running.work = work.clone();
            }
            _ => {
                tracing::info!(processor, variant, component, "processor starting");
                // The running processor may take minutes to finish its messages.
                let slots = generation.program.loaded.engine.slots().clone();
                generation.yielding(&slots, self.end()).await;
                let processor = Processor::start(generation, &self.host, &self.status, &self.consumed);
                self.running = Some(RunningWorkload { work: work.clone(), processor });
            }
        }
        self.status.set_state(ProcessorState::Running);
    }

    /// Handles a component that cannot run: the old workload continues, or the entry's previous component runs, or nothing does. `true`:
    /// the failure may be temporary.
    async fn refused(&mut self, work: &Workload, error: &RuntimeError) -> bool {
        let (text, is_transient) = (chain(error), !error.is_permanent());
        let (VariantKey { processor, variant }, component) = (self.status.key.clone(), work.component.key());
        let refusal = refusal(&work.component, &text, !is_transient);
        let may_go_on = self.running.as_ref().is_some_and(|running| running.work.has_same_io(work));
        if may_go_on {
            tracing::warn!(processor, variant, component, error = %text, "new version rejected: the previous one stays in use");
            self.status.note_error(ErrorSource::Component, &format!("{component} was rejected: {text}"));
            self.status.set_refused(Some(refusal));
            return is_transient;
        }
        self.end().await;
        let Some(previous) = work.previous() else {
            self.cannot_run(work, refusal, &text);
            return is_transient;
        };
        match self.prepare(&previous, work).await {
            Some(Ok(generation)) => {
                tracing::warn!(processor, variant, component, error = %text, "component failed to start: running the previous one");
                let problem = format!("{component} cannot run: {text}; {} runs instead", previous.component.key());
                self.status.note_error(ErrorSource::Component, &problem);
                self.activate(&previous, generation, Some(refusal)).await;
                is_transient
            }
            Some(Err(second)) => {
                let both = format!("{text}; nor can the previous one, {}: {}", previous.component.key(), chain(&second));
                self.cannot_run(work, refusal, &both);
                is_transient || !second.is_permanent()
            }
            None => false,
        }
    }

    fn cannot_run(&self, work: &Workload, refusal: Refusal, problem: &str) {
        self.status.set_work(work.entry.flow.as_deref(), None);
        let state = if refusal.permanent { ProcessorState::Broken } else { ProcessorState::Failing };
        self.status.set_refused(Some(refusal));
        self.fail(problem, state);
    }

    fn fail(&self, problem: &str, state: ProcessorState) {
        let (processor, variant) = (&*self.status.key.processor, &*self.status.key.variant);
        // It is retried repeatedly; the same error is reported once.
        if self.status.has_component_error(problem) {
            tracing::debug!(processor, variant, error = problem, "processor still failing to start");
        } else {
            tracing::error!(processor, variant, error = problem, "processor failed to start");
        }
        self.status.note_error(ErrorSource::Component, problem);
        self.status.set_state(state);
    }

    /// Stops the running processor.
    async fn end(&mut self) {
        if let Some(RunningWorkload { processor, .. }) = self.running.take() {
            tracing::info!(processor = self.status.key.processor, variant = self.status.key.variant, "processor stopping");
            self.status.set_state(ProcessorState::Stopping);
            processor.stop().await;
            self.status.set_inputs(std::iter::empty());
        }
    }
}

fn refusal(component: &ComponentRef, problem: &str, permanent: bool) -> Refusal {
    Refusal { component: component.clone(), problem: cut(problem), permanent, time_ms: now_ms() }
}

/// A component's setup may use the CPU for as long as its `handle` may: it owns what it needs, so that it can be moved to the background.
async fn start(slot: SlotPermit, program: Arc<Program>, known: Arc<ConfigState>) -> Result<Instance, RuntimeError> {
    Instance::start(slot, &program, known).await
}
