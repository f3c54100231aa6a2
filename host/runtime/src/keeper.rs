//! Keeps one variant as it is wanted: a task that works towards the newest wish, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::records::{ComponentDefaults, ComponentRef, ProcessorState, Refusal};
use weir_pubsub::{Backend, Backoff, QueueSpec};

use crate::background::Movable;
use crate::component::Loader;
use crate::config_state::ConfigState;
use crate::consumed::Consumed;
use crate::error::RuntimeError;
use crate::generation::Generation;
use crate::in_use::TypesInUse;
use crate::instance::Instance;
use crate::outputs::Outputs;
use crate::processor::{Place, Processor};
use crate::program::Program;
use crate::reconcile::{Step, Wanted, Work, step};
use crate::slots::Slot;
use crate::status::{ErrorOf, Key, VariantStatus, WaitingForSlot, cut, now_ms};
use crate::variant::Surroundings;
use weir_pubsub::{chain, restart_on_panic};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a setup waits for an instance slot before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all keepers of a host share.
pub(crate) struct Means {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    /// The config types that must be followed for what runs.
    pub(crate) in_use: TypesInUse,
    pub(crate) dead_letters: QueueSpec,
    /// Cancelled when the host stops.
    pub(crate) stop: CancellationToken,
    /// Knows of all tasks that hold consumers.
    pub(crate) tasks: TaskTracker,
    /// What holds where a deployment gives nothing else.
    pub(crate) defaults: Arc<ComponentDefaults>,
    /// What all processors together may hold of what they send.
    pub(crate) outputs: Outputs,
}

/// Keeps one variant.
pub(crate) struct Keeper {
    pub(crate) key: Key,
    pub(crate) means: Arc<Means>,
    pub(crate) status: Arc<VariantStatus>,
    /// The newest wish; `None`: it should not be there.
    pub(crate) wanted: watch::Receiver<Option<Wanted>>,
    /// What some flow consumes of what the variant sends.
    pub(crate) consumed: Consumed,
    /// Told when the variant is gone.
    pub(crate) gone: mpsc::Sender<Key>,
    pub(crate) running: Option<Running>,
}

/// What runs, and of which wish it was made.
pub(crate) struct Running {
    work: Work,
    processor: Processor,
}

impl Keeper {
    /// As [`Keeper::run`], and begins again after a panic: what ran is dropped, and the messages that it held are redelivered.
    pub(crate) async fn supervised(self) {
        let Keeper { key, means, status, wanted, consumed, gone, running: _ } = self;
        let work = || {
            let (key, means, status, wanted) = (key.clone(), means.clone(), status.clone(), wanted.clone());
            Keeper { key, means, status, wanted, consumed: consumed.clone(), gone: gone.clone(), running: None }.run()
        };
        restart_on_panic(&means.stop, work, |panic| status.note_panic(None, panic)).await;
    }

    /// Works until the host stops or forgets the variant.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if let Some(Wanted::Run(work) | Wanted::Paused(work)) = &wanted {
                // Whatever becomes of the rest: settles may wait for it.
                self.consumed.set(&work.entry);
            }
            if let Some(wanted) = &wanted {
                self.status.set_wanted(wanted.component());
            }
            let again = self.work_towards(wanted.as_ref()).await;
            if self.means.stop.is_cancelled() {
                return self.end().await;
            }
            let wait = if again { backoff.next_wait(&mut rand::rng()) } else { Duration::MAX };
            if !again {
                backoff.reset();
            }
            let means = self.means.clone();
            tokio::select! {
                () = means.stop.cancelled() => return self.end().await,
                changed = self.wanted.changed() => match changed {
                    Ok(()) => backoff.reset(),
                    Err(_) => return self.end().await,
                },
                () = tokio::time::sleep(wait), if again => {}
            }
        }
    }

    /// Takes the next step. `true`: it failed in a way that may pass, and should be tried again.
    async fn work_towards(&mut self, wanted: Option<&Wanted>) -> bool {
        match step(self.running.as_ref().map(|running| &running.work), wanted) {
            Step::Keep if wanted.is_none() => {
                let _ = self.gone.send(self.key.clone()).await;
            }
            // The entry names what runs: what was refused before is not wanted any more.
            Step::Keep => self.is_well(),
            Step::Note(work) => self.note(work),
            Step::Run(work) => return self.go_to(work).await,
            Step::Pause => {
                self.end().await;
                self.status.set_state(ProcessorState::Paused);
            }
            Step::Break(problem) => {
                self.end().await;
                self.status.set_nothing_runs();
                self.fail(problem, ProcessorState::Broken);
            }
            Step::Stop => {
                self.end().await;
                let _ = self.gone.send(self.key.clone()).await;
            }
        }
        false
    }

    /// Takes over what changes nothing about the work itself.
    fn note(&mut self, new: &Work) {
        if let Some(Running { work, .. }) = &mut self.running {
            *work = new.clone();
            self.is_well();
        }
    }

    /// The entry names what runs.
    fn is_well(&self) {
        self.status.forget_passing_refusal();
        self.status.end_errors(|of| *of == ErrorOf::Component);
    }

    /// Begins to run, or goes over to other work. The old work goes on until the new one is ready, and if the new one never is while
    /// only its component differs.
    async fn go_to(&mut self, work: &Work) -> bool {
        if self.running.is_none() {
            self.status.set_state(ProcessorState::Starting);
        }
        match self.prepare(work, work).await {
            Some(Ok(generation)) => {
                let missing = work.missing.as_ref().map(|(component, problem)| refusal(component, problem, true));
                self.take_over(work, generation, missing).await;
                false
            }
            Some(Err(error)) => self.refused(work, &error).await,
            None => false,
        }
    }

    /// Makes work ready, while what runs goes on; `wished` is what it is made ready for. `None`: something else is wanted, or the host stops, and
    /// the loop comes back at once.
    async fn prepare(&self, work: &Work, wished: &Work) -> Option<Result<Generation, RuntimeError>> {
        tokio::select! {
            prepared = self.prepare_whole(work) => Some(prepared),
            () = self.other_wish(wished) => None,
            () = self.means.stop.cancelled() => None,
        }
    }

    /// Waits until something else is wanted than this. Flows that consume its outputs come and go; a setup must not begin again with each.
    async fn other_wish(&self, wished: &Work) {
        let mut newer = self.wanted.clone();
        while newer.changed().await.is_ok() {
            match &*newer.borrow_and_update() {
                Some(Wanted::Run(work)) if work.prepares_as(wished) => self.consumed.set(&work.entry),
                _ => return,
            }
        }
    }

    /// Fetches, compiles, fits and sets up: an instance at the least, and as many as workers have now, so that none of them has to wait.
    async fn prepare_whole(&self, work: &Work) -> Result<Generation, RuntimeError> {
        let means = &self.means;
        let loaded = means.loader.load(work.component.digest, work.record.size_bytes).await?;
        let names = (&*self.key.processor, &*self.key.variant);
        let surroundings =
            Surroundings { backend: means.backend.clone(), stop: means.stop.child_token(), defaults: means.defaults.clone() };
        let program = Arc::new(Program::new(names, &work.entry, work.component.clone(), &work.record, loaded, surroundings)?);
        let types = means.in_use.hold(program.variant.config_types.iter().cloned());
        let mut config = means.config.clone();
        let known =
            config.wait_for(|state| state.covers(&program.variant.config_types)).await.expect("the host outlives its keepers").clone();
        let warm_counts = self.running.as_ref().map(|running| running.processor.warm_counts()).unwrap_or_default();
        let mut ready: Vec<Vec<Instance>> = program.variant.inputs.iter().map(|_| Vec::new()).collect();
        let wanted_by = |input: usize| warm_counts.get(input).copied().unwrap_or(0).min(program.variant.inputs[input].concurrency as usize);
        let first = (0..ready.len()).find(|input| wanted_by(*input) > 0).unwrap_or(0);
        let (_turn, slot) = self.setup_slot(&program, first, work).await;
        let instance = Movable::new(start(slot, program.clone(), known.clone())).await?;
        if let Some(ready) = ready.get_mut(first) {
            ready.push(instance);
        }
        for (input, ready) in ready.iter_mut().enumerate() {
            while ready.len() < wanted_by(input) {
                let (program, known) = (program.clone(), known.clone());
                let starting = Movable::new(async move { Instance::start_if_room(&program, input, known).await });
                let Some(instance) = starting.await? else { break };
                ready.push(instance);
            }
        }
        Ok(Generation::new(program, ready, types))
    }

    /// Waits for a slot to set up an instance. The status shows it, from some time on as the reason why the work is not taken over.
    async fn setup_slot(&self, program: &Program, input: usize, work: &Work) -> (OwnedSemaphorePermit, Slot) {
        let slots = program.loaded.engine.slots();
        let _waiting = WaitingForSlot::begin(&self.status);
        let waited = async {
            let turn = slots.setup_turn().await;
            (turn, program.slot(input).await)
        };
        tokio::pin!(waited);
        tokio::select! {
            biased;
            slot = &mut waited => return slot,
            () = tokio::time::sleep(PATIENCE) => self.report_shortage(work, slots.largest_count()),
        }
        waited.await
    }

    fn report_shortage(&self, work: &Work, slots_count: u32) {
        let (processor, variant, component) = (&*self.key.processor, &*self.key.variant, work.component.key());
        let problem = format!(
            "no instance slot became free within {} s, still waiting: all {slots_count} are in use by other processors; stop some of them, \
                 or raise host.instances",
            PATIENCE.as_secs()
        );
        tracing::warn!(processor, variant, component, slots_count, "no free instance slot");
        self.status.set_refused(Some(refusal(&work.component, &problem, false)));
        self.status.note_error(ErrorOf::Component, &problem);
        if self.running.is_none() {
            self.status.set_state(ProcessorState::Failing);
        }
    }

    async fn take_over(&mut self, work: &Work, generation: Generation, refused: Option<Refusal>) {
        self.status.set_work(work.entry.flow.as_deref(), Some(&work.component));
        if refused.is_none() {
            self.status.end_errors(|of| matches!(of, ErrorOf::Component | ErrorOf::Memory));
        }
        self.status.set_refused(refused);
        let (processor, variant, component) = (&*self.key.processor, &*self.key.variant, work.component.key());
        match &mut self.running {
            Some(running) if running.processor.can_go_over_to(&generation.program) => {
                tracing::info!(processor, variant, component, "processor reconfigured");
                running.processor.go_over_to(generation);
                running.work = work.clone();
            }
            _ => {
                tracing::info!(processor, variant, component, "processor starting");
                // What runs may finish its messages for minutes.
                let slots = generation.program.loaded.engine.slots().clone();
                generation.giving_way(&slots, self.end()).await;
                let processor = Processor::start(generation, &self.place(), self.means.stop.child_token());
                self.running = Some(Running { work: work.clone(), processor });
            }
        }
        self.status.set_state(ProcessorState::Running);
    }

    fn place(&self) -> Place {
        let means = &self.means;
        Place {
            backend: means.backend.clone(),
            config: means.config.clone(),
            dead_letters: means.dead_letters.clone(),
            consumed: self.consumed.clone(),
            status: self.status.clone(),
            outputs: means.outputs.clone(),
            alive: means.tasks.token(),
        }
    }

    /// What a component that cannot be run leaves: the old work, the entry's previous component, or nothing. `true`: it may pass.
    async fn refused(&mut self, work: &Work, error: &RuntimeError) -> bool {
        let (text, is_passing) = (chain(error), !error.is_permanent());
        let (Key { processor, variant }, component) = (self.key.clone(), work.component.key());
        let refusal = refusal(&work.component, &text, !is_passing);
        let may_go_on = self.running.as_ref().is_some_and(|running| running.work.reads_as(work));
        if may_go_on {
            tracing::warn!(processor, variant, component, error = %text, "new version rejected: the previous one stays in use");
            self.status.note_error(ErrorOf::Component, &format!("{component} was rejected: {text}"));
            self.status.set_refused(Some(refusal));
            return is_passing;
        }
        self.end().await;
        let Some(previous) = work.previous() else {
            self.cannot_run(work, refusal, &text);
            return is_passing;
        };
        match self.prepare(&previous, work).await {
            Some(Ok(generation)) => {
                tracing::warn!(processor, variant, component, error = %text, "component failed to start: running the previous one");
                let problem = format!("{component} cannot run: {text}; {} runs instead", previous.component.key());
                self.status.note_error(ErrorOf::Component, &problem);
                self.take_over(&previous, generation, Some(refusal)).await;
                is_passing
            }
            Some(Err(second)) => {
                let both = format!("{text}; nor can the previous one, {}: {}", previous.component.key(), chain(&second));
                self.cannot_run(work, refusal, &both);
                is_passing || !second.is_permanent()
            }
            None => false,
        }
    }

    fn cannot_run(&self, work: &Work, refusal: Refusal, problem: &str) {
        self.status.set_work(work.entry.flow.as_deref(), None);
        let state = if refusal.permanent { ProcessorState::Broken } else { ProcessorState::Failing };
        self.status.set_refused(Some(refusal));
        self.fail(problem, state);
    }

    fn fail(&self, problem: &str, state: ProcessorState) {
        let (processor, variant) = (&*self.key.processor, &*self.key.variant);
        // It is tried again and again; what is the same is told once.
        if self.status.has_component_error(problem) {
            tracing::debug!(processor, variant, error = problem, "processor still failing to start");
        } else {
            tracing::error!(processor, variant, error = problem, "processor failed to start");
        }
        self.status.note_error(ErrorOf::Component, problem);
        self.status.set_state(state);
    }

    /// Ends what runs.
    async fn end(&mut self) {
        if let Some(Running { processor, .. }) = self.running.take() {
            tracing::info!(processor = self.key.processor, variant = self.key.variant, "processor stopping");
            self.status.set_state(ProcessorState::Stopping);
            processor.stop().await;
            self.status.set_inputs(std::iter::empty());
        }
    }
}

fn refusal(component: &ComponentRef, problem: &str, permanent: bool) -> Refusal {
    Refusal { component: component.clone(), problem: cut(problem), permanent, time_ms: now_ms() }
}

/// A component's setup may use the processor for as long as its `handle` may: it owns what it needs, so that it can be moved.
async fn start(slot: Slot, program: Arc<Program>, known: Arc<ConfigState>) -> Result<Instance, RuntimeError> {
    Instance::start(slot, &program, known).await
}
