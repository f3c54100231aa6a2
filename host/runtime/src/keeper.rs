//! Keeps one variant as it is wanted: a task that works towards the newest wish, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::records::ProcessorState;
use weir_pubsub::{Backend, Backoff, Queue};

use crate::component::Loader;
use crate::config_state::ConfigState;
use crate::error::RuntimeError;
use crate::instance::Instance;
use crate::processor::{Place, Processor};
use crate::program::{Program, Surroundings};
use crate::reconcile::{Step, Wanted, Work, step};
use crate::status::{Key, VariantStatus};
use weir_pubsub::chain;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What all keepers of a host share.
pub(crate) struct Means {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    pub(crate) dead_letters: Queue,
    /// Cancelled when the host stops.
    pub(crate) stop: CancellationToken,
    /// Knows of all tasks that hold consumers.
    pub(crate) tasks: TaskTracker,
}

/// Keeps one variant.
pub(crate) struct Keeper {
    pub(crate) key: Key,
    pub(crate) means: Arc<Means>,
    pub(crate) status: Arc<VariantStatus>,
    /// The newest wish; `None`: it should not be there.
    pub(crate) wanted: watch::Receiver<Option<Wanted>>,
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
    /// Works until the host stops or forgets the variant.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
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
            Step::Keep => {}
            Step::SetConsumed(consumed) => self.set_consumed(consumed),
            Step::Run(work) => return self.go_to(work).await,
            Step::Pause => {
                self.end().await;
                self.status.set_state(ProcessorState::Paused);
            }
            Step::Break(problem) => {
                self.end().await;
                self.fail(problem, ProcessorState::Broken);
            }
            Step::Stop => {
                self.end().await;
                let _ = self.gone.send(self.key.clone()).await;
            }
        }
        false
    }

    fn set_consumed(&mut self, consumed: &[String]) {
        if let Some(Running { work, processor }) = &mut self.running {
            processor.program().set_consumed(consumed);
            work.entry.consumed = consumed.to_vec();
        }
    }

    /// Begins to run, or goes over to other work. The old work goes on until the new one is ready, and if the new one never is while
    /// only its component differs.
    async fn go_to(&mut self, work: &Work) -> bool {
        if self.running.is_none() {
            self.status.set_state(ProcessorState::Starting);
        }
        let means = self.means.clone();
        let mut newer = self.wanted.clone();
        let prepared = tokio::select! {
            prepared = prepare(&means, &self.key, work) => prepared,
            // A newer wish counts; the loop comes back at once.
            _ = newer.changed() => return false,
            () = means.stop.cancelled() => return false,
        };
        match prepared {
            Ok((program, first)) => {
                self.take_over(work, program, first).await;
                false
            }
            Err(error) => self.refused(work, &error).await,
        }
    }

    async fn take_over(&mut self, work: &Work, program: Arc<Program>, first: Instance) {
        self.status.set_work(work.entry.flow.as_deref(), Some(&work.component));
        let (processor, variant, component) = (&*self.key.processor, &*self.key.variant, &*program.deployment);
        match &mut self.running {
            Some(running) if running.processor.can_go_over_to(&program) => {
                tracing::info!(processor, variant, component, "processor goes over to other work");
                running.processor.go_over_to(program.clone());
                running.work = work.clone();
            }
            _ => {
                tracing::info!(processor, variant, component, "processor starts");
                self.end().await;
                let processor = Processor::start(program, first, &self.place(), self.means.stop.child_token());
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
            status: self.status.clone(),
            alive: means.tasks.token(),
        }
    }

    async fn refused(&mut self, work: &Work, error: &RuntimeError) -> bool {
        let may_go_on = self.running.as_ref().is_some_and(|running| {
            let (old, new) = (&running.work.entry, &work.entry);
            (&old.topics, &old.parameters) == (&new.topics, &new.parameters)
        });
        let text = chain(error);
        if may_go_on {
            tracing::warn!(processor = self.key.processor, variant = self.key.variant, error = text, "new work is not taken up");
            self.status.note_error(&format!("{} is not taken up: {text}", work.component.key()));
        } else {
            self.end().await;
            self.status.set_work(work.entry.flow.as_deref(), Some(&work.component));
            let state = if error.is_permanent() { ProcessorState::Broken } else { ProcessorState::Failing };
            self.fail(&text, state);
        }
        !error.is_permanent()
    }

    fn fail(&self, problem: &str, state: ProcessorState) {
        tracing::error!(processor = self.key.processor, variant = self.key.variant, error = problem, "processor cannot run");
        self.status.note_error(problem);
        self.status.set_state(state);
    }

    /// Ends what runs.
    async fn end(&mut self) {
        if let Some(Running { processor, .. }) = self.running.take() {
            tracing::info!(processor = self.key.processor, variant = self.key.variant, "processor stops");
            self.status.set_state(ProcessorState::Stopping);
            processor.stop().await;
        }
    }
}

/// Fetches, compiles, fits and sets up.
async fn prepare(means: &Means, key: &Key, work: &Work) -> Result<(Arc<Program>, Instance), RuntimeError> {
    let loaded = means.loader.load(work.component.digest).await?;
    let names = (&*key.processor, &*key.variant);
    let surroundings = Surroundings { backend: means.backend.clone(), stop: means.stop.child_token() };
    let program = Arc::new(Program::new(names, &work.entry, work.component.clone(), &work.record, loaded, surroundings)?);
    let mut config = means.config.clone();
    let known = config.wait_for(|state| state.covers(&program.config_types)).await.expect("the host outlives its keepers").clone();
    let first = Instance::start(&program, known).await?;
    Ok((program, first))
}
