//! Threads of lowest priority: a task moves to one while its component is CPU-bound, so that it uses only what others leave. There are as few as the
//! machine has processors; they are shared by all hosts of the process and created when first needed.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{future::poll_fn, io};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle};
use tokio_util::task::AbortOnDropHandle;
use weir_pubsub::chain;

/// CPU time that a call may use before it moves to the background.
const FOREGROUND_CPU: Duration = Duration::from_millis(50);
/// The lowest priority that the system has.
const LOWEST: i32 = 19;
/// At most 15 bytes, as the system keeps names of threads.
const THREAD_NAME: &str = "weir-background";

thread_local! {
    static CURRENT_POLL: Cell<CurrentPoll> = const { Cell::new(CurrentPoll { current_placement: Placement::Pinned, next_placement: Placement::Pinned }) };
}

/// One poll of a [`Movable`] on this thread.
#[derive(Clone, Copy)]
struct CurrentPoll {
    current_placement: Placement,
    next_placement: Placement,
}

/// Where a future is polled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// It is not part of a [`Movable`].
    Pinned,
    /// By the task that owns it.
    Foreground,
    /// By a thread of lowest priority.
    Background,
}

/// A future that can move to the background while its owner waits for it. Dropping it drops the future, in the background once its poll there has
/// ended; a panic there propagates to the owner.
pub(crate) struct Movable<F: Future>(WorkState<F>);

enum WorkState<F: Future> {
    Here(Pin<Box<F>>),
    Away(AbortOnDropHandle<BackgroundResult<F>>),
    Ended,
}

/// The result of a poll in the background.
enum BackgroundResult<F: Future> {
    Unfinished(Pin<Box<F>>),
    Output(F::Output),
}

impl<F: Future> Movable<F> {
    pub(crate) fn new(future: F) -> Self {
        Movable(WorkState::Here(Box::pin(future)))
    }
}

impl<F> Future for Movable<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match &mut self.0 {
                WorkState::Here(future) => match poll_at(Placement::Foreground, future.as_mut(), context) {
                    (Poll::Ready(output), _) => {
                        self.0 = WorkState::Ended;
                        return Poll::Ready(output);
                    }
                    (Poll::Pending, Placement::Background) => match background_thread() {
                        Some(background_thread) => self.move_to(background_thread),
                        None => return Poll::Pending,
                    },
                    (Poll::Pending, _) => return Poll::Pending,
                },
                WorkState::Away(away) => match ready!(Pin::new(away).poll(context)) {
                    Ok(BackgroundResult::Unfinished(future)) => self.0 = WorkState::Here(future),
                    Ok(BackgroundResult::Output(output)) => {
                        self.0 = WorkState::Ended;
                        return Poll::Ready(output);
                    }
                    // It is aborted only when this is dropped.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                WorkState::Ended => unreachable!("it is not polled after its end"),
            }
        }
    }
}

impl<F> Movable<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn move_to(&mut self, background_thread: &'static BackgroundThread) {
        if let WorkState::Here(future) = std::mem::replace(&mut self.0, WorkState::Ended) {
            let away = BackgroundTask { future: Some(future), home: Handle::current(), _load: ThreadLoad::begin(background_thread) };
            self.0 = WorkState::Away(AbortOnDropHandle::new(background_thread.handle.spawn(away)));
        }
    }
}

/// Polls a future in the background until it ends or returns to the foreground.
struct BackgroundTask<F: Future> {
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
    /// The runtime it came from, which owns its timers and tasks.
    home: Handle,
    _load: ThreadLoad,
}

impl<F: Future> Future for BackgroundTask<F> {
    type Output = BackgroundResult<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BackgroundResult<F>> {
        let this = &mut *self;
        let _home = this.home.enter();
        let mut future = this.future.take().expect("it is not polled after its end");
        match poll_at(Placement::Background, future.as_mut(), context) {
            (Poll::Ready(output), _) => Poll::Ready(BackgroundResult::Output(output)),
            (Poll::Pending, Placement::Foreground) => Poll::Ready(BackgroundResult::Unfinished(future)),
            (Poll::Pending, _) => {
                this.future = Some(future);
                Poll::Pending
            }
        }
    }
}

/// Polls a future and returns where to poll it next.
fn poll_at<F: Future>(placement: Placement, future: Pin<&mut F>, context: &mut Context<'_>) -> (Poll<F::Output>, Placement) {
    /// Restores the previous value, also after a panic.
    struct RestorePoll(CurrentPoll);
    impl Drop for RestorePoll {
        fn drop(&mut self) {
            CURRENT_POLL.set(self.0);
        }
    }
    let _before = RestorePoll(CURRENT_POLL.replace(CurrentPoll { current_placement: placement, next_placement: placement }));
    let polled = future.poll(context);
    (polled, CURRENT_POLL.get().next_placement)
}

fn request_placement(placement: Placement) {
    let turn = CURRENT_POLL.get();
    if turn.current_placement != Placement::Pinned {
        CURRENT_POLL.set(CurrentPoll { next_placement: placement, ..turn });
    }
}

/// Waits for a call that did not end immediately. After 50 ms of CPU time it moves to the background, if it is part of a [`Movable`].
///
/// # Cancel safety
/// As the call; follow it by [`to_foreground`] in any case.
pub(crate) async fn metered<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let mut used = Duration::ZERO;
    poll_fn(|context| {
        let began = cpu_time();
        let polled = call.as_mut().poll(context);
        used += cpu_time().saturating_sub(began);
        if polled.is_pending() && used >= FOREGROUND_CPU {
            request_placement(Placement::Background);
        }
        polled
    })
    .await
}

/// Continues in the task that owns the future. Code that takes locks others wait for must not run in the background.
pub(crate) async fn to_foreground() {
    poll_fn(|context| {
        if CURRENT_POLL.get().current_placement != Placement::Background {
            return Poll::Ready(());
        }
        request_placement(Placement::Foreground);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The CPU time that this thread has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// A thread of lowest priority.
struct BackgroundThread {
    handle: Handle,
    load_count: AtomicUsize,
}

/// A future that is polled on a background thread; counted until dropped.
struct ThreadLoad(&'static BackgroundThread);

impl ThreadLoad {
    fn begin(background_thread: &'static BackgroundThread) -> Self {
        background_thread.load_count.fetch_add(1, Ordering::Relaxed);
        ThreadLoad(background_thread)
    }
}

impl Drop for ThreadLoad {
    fn drop(&mut self) {
        self.0.load_count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The least loaded thread; `None` if the system refused to create any, and everything stays in the foreground.
fn background_thread() -> Option<&'static BackgroundThread> {
    static THREADS: OnceLock<Vec<BackgroundThread>> = OnceLock::new();
    let make = || {
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let made: io::Result<Vec<BackgroundThread>> = (0..count).map(|_| BackgroundThread::start()).collect();
        made.unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "background threads could not be started");
            Vec::new()
        })
    };
    THREADS.get_or_init(make).iter().min_by_key(|background_thread| background_thread.load_count.load(Ordering::Relaxed))
}

impl BackgroundThread {
    fn start() -> io::Result<Self> {
        // A turn takes a whole tick of the engine; others must not wait for several.
        let runtime = Builder::new_current_thread().event_interval(1).global_queue_interval(1).build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            if let Err(error) = rustix::process::nice(LOWEST) {
                tracing::warn!(error = %chain(&error), "priority of a background thread not lowered");
            }
            runtime.block_on(std::future::pending::<()>());
        })?;
        Ok(BackgroundThread { handle, load_count: AtomicUsize::new(0) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn is_in_background() -> bool {
        std::thread::current().name() == Some(THREAD_NAME)
    }

    /// Uses the CPU until it is moved, and for one turn more.
    async fn spin() {
        let spinning = poll_fn(|context| {
            if is_in_background() {
                return Poll::Ready(());
            }
            let until = cpu_time() + Duration::from_millis(5);
            while cpu_time() < until {}
            context.waker().wake_by_ref();
            Poll::Pending
        });
        metered(spinning).await;
        assert!(is_in_background());
    }

    #[tokio::test]
    async fn a_spinning_future_moves_to_the_background_and_back() {
        let (sender, mut receiver) = mpsc::channel(1);
        let work = async move {
            for round in 0..3 {
                spin().await;
                to_foreground().await;
                assert!(!is_in_background());
                sender.send(round).await.unwrap();
            }
            "ended"
        };
        let working = tokio::spawn(Movable::new(work));
        for round in 0..3 {
            assert_eq!(receiver.recv().await, Some(round));
        }
        assert_eq!(working.await.unwrap(), "ended");
    }

    #[tokio::test]
    async fn a_future_waiting_in_the_background_uses_the_timers_of_its_runtime() {
        let work = async {
            spin().await;
            let timed = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
            tokio::spawn(async { assert!(!is_in_background()) }).await.unwrap();
            assert!(is_in_background());
            timed.is_err()
        };
        assert!(Movable::new(work).await);
    }

    #[tokio::test]
    async fn a_panic_in_the_background_propagates_to_the_owner() {
        let work = async {
            spin().await;
            panic!("told to");
        };
        let ended = tokio::spawn(Movable::new(work)).await;
        assert_eq!(ended.unwrap_err().into_panic().downcast_ref::<&str>(), Some(&"told to"));
    }

    #[tokio::test]
    async fn a_future_dropped_in_the_background_is_dropped_there() {
        struct DropProbe(Option<oneshot::Sender<()>>);
        impl Drop for DropProbe {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (sender, dropped) = oneshot::channel();
        let is_there = Arc::new(AtomicBool::new(false));
        let arrived = is_there.clone();
        let work = async move {
            let _dropped = DropProbe(Some(sender));
            spin().await;
            arrived.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        };
        let working = tokio::spawn(Movable::new(work));
        while !is_there.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        working.abort();
        dropped.await.unwrap();
    }

    #[tokio::test]
    async fn an_immovable_future_stays_in_the_foreground() {
        let mut polls_left = 20;
        let spinning = poll_fn(|context| {
            assert!(!is_in_background());
            let until = cpu_time() + Duration::from_millis(5);
            while cpu_time() < until {}
            polls_left -= 1;
            context.waker().wake_by_ref();
            if polls_left == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        metered(spinning).await;
        to_foreground().await;
    }
}
