//! One variant at work: for each input its consumer, workers and settler.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use weir_pubsub::{Backend, Backoff, Consumer, ConsumerOptions, PubsubError, Queue, Sharing};

use crate::config_state::ConfigState;
use crate::instance::Instance;
use crate::program::{Input, Program};
use crate::settler::Settler;
use crate::status::VariantStatus;
use crate::worker::{Ended, Worker};
use weir_pubsub::chain;

/// Messages that workers may be ahead of the settler.
const HANDED_OVER_COUNT: usize = 256;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a processor stands in.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    pub(crate) dead_letters: Queue,
    pub(crate) status: Arc<VariantStatus>,
    /// Goes with the task that holds it, after everything else of it.
    pub(crate) alive: TaskTrackerToken,
}

/// A running variant. When it is dropped, all its work is dropped with it, and what it held goes back to the queues.
pub(crate) struct Processor {
    program: watch::Sender<Arc<Program>>,
    stop: CancellationToken,
    intakes: JoinSet<()>,
}

impl Processor {
    /// Starts to take messages. `first` is an instance that has been set up already.
    pub(crate) fn start(program: Arc<Program>, first: Instance, place: &Place, stop: CancellationToken) -> Self {
        let (sender, _) = watch::channel(program.clone());
        let mut intakes = JoinSet::new();
        let mut first = Some(first);
        for index in 0..program.inputs.len() {
            place.status.set_input(&program.inputs[index].name, Some(None));
            let intake = Intake { index, program: sender.subscribe(), place: place.clone(), stop: stop.clone(), first: first.take() };
            intakes.spawn(intake.run());
        }
        Processor { program: sender, stop, intakes }
    }

    pub(crate) fn program(&self) -> Arc<Program> {
        self.program.borrow().clone()
    }

    /// Whether another program reads the same queues in the same way, so that its workers can go over to it between two messages.
    pub(crate) fn can_go_over_to(&self, other: &Program) -> bool {
        let same = |(a, b): (&Input, &Input)| {
            a.name == b.name && a.queue == b.queue && a.concurrency == b.concurrency && a.reply.is_some() == b.reply.is_some()
        };
        let program = self.program.borrow();
        program.inputs.len() == other.inputs.len() && program.window == other.window && program.inputs.iter().zip(&other.inputs).all(same)
    }

    /// Lets the workers go over to another program, each after the message that it has in hand.
    pub(crate) fn go_over_to(&self, program: Arc<Program>) {
        self.program.send_replace(program);
    }

    /// Ends: takes no further message, finishes those in hand, settles them, and lets go of the queues.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.program.borrow().surroundings.stop.cancel();
        while let Some(ended) = self.intakes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "intake broke off");
            }
        }
    }
}

/// One input: its consumer, got back when it is lost.
struct Intake {
    index: usize,
    program: watch::Receiver<Arc<Program>>,
    place: Place,
    stop: CancellationToken,
    first: Option<Instance>,
}

impl Intake {
    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let Some(consumer) = self.consumer(&mut backoff).await else { return };
            let name = self.program.borrow().inputs[self.index].name.clone();
            self.place.status.set_input(&name, None);
            let Some(error) = self.work(consumer.into()).await else { return };
            self.missing(&error);
            if !self.wait(&mut backoff).await {
                return;
            }
        }
    }

    /// Gets a consumer, as often as it takes; `None`: the processor stops.
    async fn consumer(&mut self, backoff: &mut Backoff) -> Option<Box<dyn Consumer>> {
        loop {
            let (queue, options) = self.queue();
            let got = self.place.backend.consumer(queue.topic(), queue.subscription(), options);
            match self.stop.run_until_cancelled(got).await? {
                Ok(consumer) => {
                    backoff.reset();
                    return Some(consumer);
                }
                Err(error) => self.missing(&error),
            }
            if !self.wait(backoff).await {
                return None;
            }
        }
    }

    fn queue(&self) -> (Queue, ConsumerOptions) {
        let program = self.program.borrow();
        let input = &program.inputs[self.index];
        let window = program.window.max(NonZeroU32::new(input.concurrency).unwrap_or(NonZeroU32::MIN));
        (input.queue.clone(), ConsumerOptions { window, sharing: Sharing::Competing })
    }

    fn missing(&self, error: &PubsubError) {
        let name = self.program.borrow().inputs[self.index].name.clone();
        self.place.status.set_input(&name, Some(Some(format!("input `{name}`: {}", chain(error)))));
    }

    async fn wait(&mut self, backoff: &mut Backoff) -> bool {
        let wait = backoff.next_wait(&mut rand::rng());
        self.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
    }

    /// Works until the processor stops (`None`) or the consumer is lost.
    async fn work(&mut self, consumer: Arc<dyn Consumer>) -> Option<PubsubError> {
        let stop = self.stop.child_token();
        let (sender, receiver) = mpsc::channel(HANDED_OVER_COUNT);
        let place = &self.place;
        let (backend, status) = (place.backend.clone(), place.status.clone());
        let settler = Settler { backend, status, dead_letters: place.dead_letters.clone(), stop: stop.clone() };
        let mut settling = JoinSet::new();
        settling.spawn(settler.run(receiver));
        let mut workers = JoinSet::new();
        let concurrency = self.program.borrow().inputs[self.index].concurrency;
        for _ in 0..concurrency {
            let worker = Worker {
                program: self.program.clone(),
                config: self.place.config.clone(),
                input: self.index,
                consumer: consumer.clone(),
                settler: sender.clone(),
                status: self.place.status.clone(),
                dead_letters: self.place.dead_letters.topic().clone(),
                stop: stop.clone(),
                instance: self.first.take(),
                _alive: self.place.alive.clone(),
            };
            workers.spawn(worker.run());
        }
        drop(sender);
        let lost = ended(workers, &stop).await;
        settling.join_next().await;
        lost
    }
}

/// Waits for all workers; when one lost the consumer, the others are stopped too.
async fn ended(mut workers: JoinSet<Ended>, stop: &CancellationToken) -> Option<PubsubError> {
    let mut lost = None;
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ended::Stopped) => {}
            Ok(Ended::Lost(error)) => {
                stop.cancel();
                lost = Some(error);
            }
            Err(error) => {
                tracing::error!(%error, "worker broke off");
                stop.cancel();
                lost = Some(PubsubError::Unavailable { reason: "a worker broke off".to_owned() });
            }
        }
    }
    lost
}
