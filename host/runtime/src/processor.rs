//! A running variant: for each input its consumer, workers and settler.

use std::any::Any;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_pubsub::{Consumer, ConsumerOptions, PubsubError, Queue, Recovery};

use crate::background::Movable;
use crate::consumed::Consumed;
use crate::generation::{Generation, WarmCounts};
use crate::host_context::HostContext;
use crate::input_receiver::InputReceiver;
use crate::output_budget::Account;
use crate::oversized::Oversized;
use crate::program::Program;
use crate::routes::Input;
use crate::settler::{Settlement, Settler};
use crate::slots::Slots;
use crate::status::{InputPart, VariantStatus};
use crate::worker::{IDLE, Worker, WorkerExit};
use weir_pubsub::{chain, restart_on_panic, task_failure};

/// How many messages workers may be ahead of the settler.
const HANDOVER_COUNT: usize = 256;

/// A running variant. Dropping it drops all its work, and its messages are requeued.
pub(crate) struct Processor {
    generation: watch::Sender<Arc<Generation>>,
    warm: WarmCounts,
    stop: CancellationToken,
    intakes: JoinSet<()>,
}

impl Processor {
    /// Starts to take messages.
    pub(crate) fn start(generation: Generation, host: &Arc<HostContext>, status: &Arc<VariantStatus>, consumed: &Consumed) -> Self {
        let (program, stop) = (generation.program.clone(), host.stop.child_token());
        let warm = WarmCounts::new(program.variant.inputs.len());
        let (sender, _) = watch::channel(Arc::new(generation));
        let mut intakes = JoinSet::new();
        status.set_inputs(program.variant.inputs.iter().map(|input| &*input.name));
        for index in 0..program.variant.inputs.len() {
            let intake = Intake {
                index,
                generation: sender.subscribe(),
                warm: warm.clone(),
                host: host.clone(),
                status: status.clone(),
                consumed: consumed.clone(),
                oversized: Arc::default(),
                stop: stop.clone(),
                alive: host.tasks.token(),
            };
            intakes.spawn(intake.supervised());
        }
        Processor { generation: sender, warm, stop, intakes }
    }

    pub(crate) fn program(&self) -> Arc<Program> {
        self.generation.borrow().program.clone()
    }

    /// How many workers of each input have an instance now.
    pub(crate) fn warm_counts(&self) -> Vec<usize> {
        self.warm.counts()
    }

    /// Whether another program reads the same queues, so that the workers can switch to it between two messages.
    pub(crate) fn can_switch_to(&self, other: &Program) -> bool {
        let same = |(a, b): (&Input, &Input)| a.name == b.name && a.queue == b.queue;
        let program = self.program();
        program.variant.inputs.len() == other.variant.inputs.len() && program.variant.inputs.iter().zip(&other.variant.inputs).all(same)
    }

    /// Switches the workers to another program, each after its current message.
    pub(crate) fn switch_to(&self, generation: Generation) {
        self.generation.send_replace(Arc::new(generation));
    }

    /// Stops: takes no further messages, finishes those in flight, settles them, and releases the queues.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.program().variant.stop.cancel();
        while let Some(ended) = self.intakes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = task_failure(error), "intake aborted");
            }
        }
    }
}

/// One input: its consumer, which is recreated when it is lost.
#[derive(Clone)]
struct Intake {
    index: usize,
    generation: watch::Receiver<Arc<Generation>>,
    warm: WarmCounts,
    host: Arc<HostContext>,
    status: Arc<VariantStatus>,
    consumed: Consumed,
    oversized: Arc<Oversized>,
    stop: CancellationToken,
    /// The last field, so that it is dropped after everything else.
    alive: TaskTrackerToken,
}

/// How the workers of an input ended.
enum IntakeExit {
    /// The processor stops.
    Stopped,
    /// The consumer is unusable.
    Lost(PubsubError),
    /// One of them panicked.
    Panicked(Box<dyn Any + Send>),
}

impl Intake {
    /// Runs until the processor stops. If it, a worker or the settler panics, it drops its consumer, so that its messages are redelivered,
    /// and restarts after a wait.
    async fn supervised(self) {
        let work = || self.clone().run();
        restart_on_panic(&self.stop, work, |panic| self.status.note_panic(Some(&self.program().variant.inputs[self.index].name), panic))
            .await;
    }

    async fn run(mut self) {
        let (stop, name) = (self.stop.clone(), self.program().variant.inputs[self.index].name.clone());
        let key = &self.status.key;
        let mut recovery = Recovery::of(format!("input `{name}` of processor `{}`, variant `{}`", key.processor, key.variant));
        loop {
            // The queue may not exist yet.
            let Some(consumer) = stop.run_until_cancelled(recovery.get(|| self.consumer())).await else { return };
            self.status.input_begins(&name);
            let Some(error) = self.work(consumer.into()).await else { return };
            self.missing(&error);
            recovery.lost(&error);
        }
    }

    fn program(&self) -> Arc<Program> {
        self.generation.borrow().program.clone()
    }

    async fn consumer(&self) -> Result<Box<dyn Consumer>, PubsubError> {
        let (queue, options) = self.queue();
        let generation = self.generation.borrow().clone();
        let got = self.host.backend.consumer(queue.topic(), queue.subscription(), options);
        generation.yielding(&self.slots(), got).await.inspect_err(|error| {
            self.missing(error);
            // Without a consumer it would hold an idle instance while others wait for its slot.
            generation.drop_ready(self.index);
        })
    }

    fn slots(&self) -> Slots {
        self.generation.borrow().program.loaded.engine.slots().clone()
    }

    fn queue(&self) -> (Queue, ConsumerOptions) {
        let program = self.program();
        (program.variant.inputs[self.index].queue.clone(), ConsumerOptions { window: self.window(&program), ..ConsumerOptions::default() })
    }

    fn window(&self, program: &Program) -> NonZeroU32 {
        program.variant.window.max(NonZeroU32::new(program.variant.inputs[self.index].concurrency).unwrap_or(NonZeroU32::MIN))
    }

    fn missing(&self, error: &PubsubError) {
        let name = self.program().variant.inputs[self.index].name.clone();
        self.status.input_fails(&name, InputPart::Consumer, &format!("input `{name}`: {}", chain(error)));
    }

    /// Runs until the processor stops (`None`) or the consumer is lost.
    ///
    /// # Panics
    /// If a worker or the settler did, once all of them have ended.
    async fn work(&mut self, consumer: Arc<dyn Consumer>) -> Option<PubsubError> {
        let stop = self.stop.child_token();
        let (sender, receiver) = mpsc::channel(HANDOVER_COUNT);
        let settler = Settler {
            host: self.host.clone(),
            status: self.status.clone(),
            input: self.program().variant.inputs[self.index].name.clone(),
            consumed: self.consumed.clone(),
            oversized: self.oversized.clone(),
            stop: stop.clone(),
        };
        // The settler ends before its workers only by a panic, and without it they would work for nothing.
        let ended = stop.clone().drop_guard();
        let mut settling = JoinSet::new();
        settling.spawn(async move {
            let _ended = ended;
            settler.run(receiver).await;
        });
        let ending = self.run_workers(&consumer, sender, &stop).await;
        let settled = settling.join_next().await;
        match (ending, settled.and_then(Result::err).and_then(|error| error.try_into_panic().ok())) {
            (IntakeExit::Panicked(payload), _) | (_, Some(payload)) => std::panic::resume_unwind(payload),
            (IntakeExit::Lost(error), None) => Some(error),
            (IntakeExit::Stopped, None) => None,
        }
    }

    /// Runs as many workers as the current program requires; surplus ones exit. Ends when all have ended: when one has lost the consumer or
    /// panicked, the others are stopped too.
    async fn run_workers(
        &mut self,
        consumer: &Arc<dyn Consumer>,
        settler: mpsc::Sender<Settlement>,
        stop: &CancellationToken,
    ) -> IntakeExit {
        let (index, slots) = (self.index, self.slots());
        let purpose = self.program().purpose(index);
        let account = self.host.output_budget.account(purpose, slots.clone(), stop.clone(), self.status.clone());
        let input = self.program().variant.inputs[index].name.clone();
        let receiver = InputReceiver::new(input, consumer.clone(), slots.clone(), self.status.clone(), account.clone());
        let mut workers = JoinSet::new();
        let mut employed = BTreeSet::new();
        let mut ending = IntakeExit::Stopped;
        loop {
            // Read once: a generation that arrived between two reads would be marked as seen and never used.
            let generation = self.generation.borrow_and_update().clone();
            if !stop.is_cancelled() {
                let program = &generation.program;
                consumer.set_window(self.window(program));
                for number in 0..program.variant.inputs[self.index].concurrency {
                    if employed.insert(number) {
                        let ends = (receiver.clone(), settler.clone(), account.clone());
                        let worker = self.worker(number, ends, stop.clone());
                        workers.spawn(Movable::new(worker.run()));
                    }
                }
            }
            let ended = tokio::select! {
                ended = workers.join_next() => ended,
                Ok(()) = self.generation.changed(), if !stop.is_cancelled() => continue,
                // Prepared instances that no worker has taken yield their slots like idle ones.
                () = slots.shortage(), if generation.has_ready(index) => {
                    generation.drop_ready(index);
                    continue;
                }
                () = tokio::time::sleep(IDLE), if generation.has_ready(index) => {
                    generation.drop_ready(index);
                    continue;
                }
            };
            match ended {
                None => return ending,
                Some(Ok((number, ended))) => {
                    employed.remove(&number);
                    match ended {
                        WorkerExit::Stopped => stop.cancel(),
                        WorkerExit::Surplus => {}
                        WorkerExit::Lost(error) => {
                            stop.cancel();
                            ending = IntakeExit::Lost(error);
                        }
                    }
                }
                Some(Err(error)) => {
                    stop.cancel();
                    if let Ok(payload) = error.try_into_panic() {
                        ending = IntakeExit::Panicked(payload);
                    }
                }
            }
        }
    }

    fn worker(&self, number: u32, ends: (InputReceiver, mpsc::Sender<Settlement>, Arc<Account>), stop: CancellationToken) -> Worker {
        let (receiver, settler, account) = ends;
        Worker {
            host: self.host.clone(),
            number,
            program: self.program(),
            generation: self.generation.clone(),
            warm: self.warm.clone(),
            slots: self.slots(),
            receiver,
            config: self.host.config.clone(),
            input: self.index,
            settler,
            account,
            status: self.status.clone(),
            oversized: self.oversized.clone(),
            stop,
            held: None,
            slot: None,
            in_flight: None,
            _alive: self.alive.clone(),
        }
    }
}
