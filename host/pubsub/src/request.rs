//! Requests and their answers over any backend. The subscription to answers is bound before a request is sent; answers are correlated by the property
//! `id`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Consumer, ConsumerOptions, Producer};
use crate::error::{PubsubError, Result};
use crate::message::{CORRELATION_ID, Message, MessageId, WEIR_PART};
use crate::subscribe::{SubscriptionEvent, listen};
use crate::supervise::restart_on_panic;
use crate::topic::{Subscription, Topic};

/// The maximum number of unread parts of one answer; a reader that lags further behind loses the answer.
const BUFFERED_PARTS: usize = 1024;
/// The maximum size of their bodies in bytes, or one part of any size: a component's answer has at most 4 MiB, and many readers may stall at once.
const BUFFERED_BYTES: usize = 16 << 20;

/// The same for all callers of one requester together: above it, a caller with unread parts loses its answer.
const BUFFERED_BYTES_OF_ALL: usize = 64 << 20;

/// A caller that is waiting for an answer.
struct PendingRequest {
    parts: mpsc::Sender<Message>,
    unread: Arc<UnreadParts>,
}

/// The sizes of the unread parts' bodies.
struct UnreadParts {
    own_bytes: AtomicUsize,
    /// Whether the answer was abandoned because of them.
    is_overrun: AtomicBool,
    /// Of all callers.
    all_bytes: Arc<AtomicUsize>,
}

impl UnreadParts {
    fn of(all_bytes: Arc<AtomicUsize>) -> Self {
        UnreadParts { own_bytes: AtomicUsize::new(0), is_overrun: AtomicBool::new(false), all_bytes }
    }

    /// Counts a part; returns whether it exceeds a limit given the caller's unread parts.
    fn add(&self, bytes: usize) -> bool {
        let own_before = self.own_bytes.fetch_add(bytes, Ordering::Relaxed);
        let all_before = self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
        own_before > 0 && (own_before + bytes > BUFFERED_BYTES || all_before + bytes > BUFFERED_BYTES_OF_ALL)
    }

    fn remove(&self, bytes: usize) {
        self.own_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for UnreadParts {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(*self.own_bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Sends requests to one topic and receives the answers from another.
///
/// Any number of requests may be in flight; each receives only the answers that carry its own `id`. The requester survives lost connections: requests
/// in flight fail with `Unavailable`, later ones wait until answers can be received again, or fail with `Refused` while the broker refuses that.
/// Dropping it ends its subscription.
pub struct Requester {
    producer: Box<dyn Producer>,
    request_topic: Topic,
    answers: Arc<AnswerSubscription>,
    /// The total size of unread parts of all callers.
    unread_bytes: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

/// The subscription to the answers, and the callers that are waiting.
#[derive(Default)]
struct AnswerSubscription {
    waiting: Mutex<Pending>,
    /// As in `waiting`; callers wait for it.
    is_bound: watch::Sender<bool>,
}

#[derive(Default)]
struct Pending {
    /// Whether the answer to a new request would be received.
    is_bound: bool,
    /// The reason it is not bound, if known.
    lost: Option<PubsubError>,
    waiters: HashMap<String, PendingRequest>,
}

impl AnswerSubscription {
    fn bind(&self) {
        lock(&self.waiting).is_bound = true;
        self.is_bound.send_replace(true);
    }

    /// Answers to previous requests may have been lost.
    fn lose(&self, error: Option<PubsubError>) {
        let mut waiting = lock(&self.waiting);
        waiting.is_bound = false;
        waiting.lost = error;
        waiting.waiters.clear();
        drop(waiting);
        // Also wakes the waiting callers, which need not wait for a refused subscription.
        self.is_bound.send_replace(false);
    }

    /// Registers a caller as soon as its answer would be received. Fails without waiting if the subscription is refused.
    async fn add(&self, id: &str, waiter: PendingRequest, deadline: Instant) -> Result<()> {
        let mut waiter = Some(waiter);
        let mut changes = self.is_bound.subscribe();
        loop {
            {
                let mut waiting = lock(&self.waiting);
                if waiting.is_bound {
                    waiting.waiters.extend(waiter.take().map(|waiter| (id.to_owned(), waiter)));
                    return Ok(());
                }
                if let Some(refused) = waiting.lost.clone().filter(|error| !error.is_transient()) {
                    return Err(refused);
                }
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                let reason = "answers cannot be received: the subscription to them was lost and is not restored yet";
                return Err(match lock(&self.waiting).lost.clone() {
                    Some(error) => PubsubError::unavailable_because(reason, error),
                    None => PubsubError::unavailable(reason),
                });
            }
        }
    }
}

impl Requester {
    /// Binds the subscription to the answers, so that no answer to a later request is missed. `name` labels the reader.
    ///
    /// # Errors
    /// As [`Backend::consumer`].
    pub async fn connect(backend: Arc<dyn Backend>, request_topic: &Topic, response_topic: &Topic, name: &Subscription) -> Result<Self> {
        let first = backend.consumer(response_topic, name, ConsumerOptions::default()).await?;
        let producer = backend.producer(request_topic).await?;
        let answers = Arc::<AnswerSubscription>::default();
        answers.bind();
        let reading = AnswerReader {
            backend,
            topic: response_topic.clone(),
            name: name.clone(),
            first: Mutex::new(Some(first)),
            answers: answers.clone(),
        };
        let reader = tokio::spawn(async move {
            let panicked = |panic: &str| tracing::error!(error = panic, "reader of answers panicked, restarting it");
            restart_on_panic(&CancellationToken::new(), || reading.run(), panicked).await;
        });
        Ok(Requester { producer, request_topic: request_topic.clone(), answers, unread_bytes: Arc::default(), reader })
    }

    /// Sends a request and waits for the answer; if the answer has several parts, returns the last one.
    ///
    /// # Errors
    /// `TimedOut`, and as [`Producer::publish`].
    ///
    /// # Cancel safety
    /// The request may still be processed; its answer is dropped.
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<Message> {
        let mut replies = self.begin(message, timeout).await?;
        let mut last = None;
        while let Some(part) = replies.next().await? {
            last = Some(part);
        }
        last.ok_or_else(|| PubsubError::unavailable("the answer had no parts"))
    }

    /// Sends a request and returns once it is confirmed; read the parts of the answer from the result. The request expires with its time-out.
    ///
    /// # Errors
    /// As [`Producer::publish`] and [`Confirm`](crate::Confirm); `Unavailable` also if answers cannot be received until the request's time-out;
    /// `Refused` while the broker refuses the subscription to them.
    pub async fn begin(&self, mut message: Message, timeout: Duration) -> Result<Replies> {
        let deadline = Instant::now() + timeout;
        let id = MessageId::random(&mut rand::rng()).to_string();
        let (sender, parts) = mpsc::channel(BUFFERED_PARTS);
        let unread = Arc::new(UnreadParts::of(self.unread_bytes.clone()));
        self.answers.add(&id, PendingRequest { parts: sender, unread: unread.clone() }, deadline).await?;
        let replies = Replies {
            id: id.clone(),
            parts,
            unread,
            answers: self.answers.clone(),
            deadline,
            timeout,
            topic: self.request_topic.clone(),
            state: AnswerState::Open,
            last_id: None,
        };
        message.properties.set(CORRELATION_ID, id);
        message.expires_in = Some(deadline.saturating_duration_since(Instant::now()));
        let published = tokio::time::timeout_at(deadline, self.producer.publish_confirmed(message)).await;
        published.unwrap_or_else(|_| Err(replies.timed_out()))?;
        Ok(replies)
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.reader.abort();
        self.answers.lose(None);
    }
}

#[derive(PartialEq)]
enum AnswerState {
    Open,
    Ended,
}

/// The answer to one request, part by part.
pub struct Replies {
    id: String,
    parts: mpsc::Receiver<Message>,
    unread: Arc<UnreadParts>,
    answers: Arc<AnswerSubscription>,
    deadline: Instant,
    timeout: Duration,
    topic: Topic,
    state: AnswerState,
    /// The id of the last part received.
    last_id: Option<MessageId>,
}

impl Replies {
    /// The next part; `None` after the last one.
    ///
    /// # Errors
    /// `TimedOut` when the request's time-out expires; `Unavailable` when the subscription was lost, or the parts arrived faster than they were read.
    /// Both end the answer.
    ///
    /// # Cancel safety
    /// No part is lost.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        if self.state == AnswerState::Ended {
            return Ok(None);
        }
        match tokio::time::timeout_at(self.deadline, self.received()).await {
            Ok(Some(message)) => {
                if message.expires_in == Some(Duration::ZERO) {
                    // An answer after the time-out is ignored.
                    self.state = AnswerState::Ended;
                    return Err(self.timed_out());
                }
                if message.properties.get(WEIR_PART) != Some("more") {
                    self.state = AnswerState::Ended;
                }
                Ok(Some(message))
            }
            Ok(None) => {
                self.state = AnswerState::Ended;
                Err(self.lost())
            }
            Err(_) => {
                self.state = AnswerState::Ended;
                Err(self.timed_out())
            }
        }
    }
}

impl Replies {
    /// The next part that differs from the previous one: a broker may store a message twice if its confirmation was lost.
    async fn received(&mut self) -> Option<Message> {
        loop {
            let message = self.parts.recv().await?;
            self.unread.remove(message.body.len());
            if message.id.is_none() || message.id != self.last_id {
                self.last_id = message.id;
                return Some(message);
            }
        }
    }

    /// Why there are no more parts, although the last one has not arrived.
    fn lost(&self) -> PubsubError {
        if self.unread.is_overrun.load(Ordering::Relaxed) {
            return PubsubError::unavailable("the parts of the answer arrived faster than they were read");
        }
        let reason = "the subscription to the answers was lost";
        match lock(&self.answers.waiting).lost.clone() {
            Some(error) => PubsubError::unavailable_because(reason, error),
            None => PubsubError::unavailable(reason),
        }
    }

    fn timed_out(&self) -> PubsubError {
        PubsubError::TimedOut { topic: self.topic.to_string(), waited_ms: self.timeout.as_millis() as u64 }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        lock(&self.answers.waiting).waiters.remove(&self.id);
    }
}

/// The state of the task that reads the answers.
struct AnswerReader {
    backend: Arc<dyn Backend>,
    topic: Topic,
    name: Subscription,
    /// The subscription opened by `connect`.
    first: Mutex<Option<Box<dyn Consumer>>>,
    answers: Arc<AnswerSubscription>,
}

impl AnswerReader {
    /// Dispatches answers to their callers, forever.
    async fn run(&self) -> Infallible {
        let first = lock(&self.first).take();
        if first.is_none() {
            // The previous reader panicked.
            self.answers.lose(None);
        }
        let heard = |heard| match heard {
            SubscriptionEvent::Message(delivery) => deliver(delivery.message, &self.answers.waiting),
            SubscriptionEvent::Missed => {}
            SubscriptionEvent::Lost(error) => self.answers.lose(Some(error)),
            SubscriptionEvent::Subscribed => self.answers.bind(),
        };
        let subject = format!("subscription to answers on {}", self.topic);
        listen(&*self.backend, (&self.topic, &self.name), first, &subject, heard).await
    }
}

fn deliver(message: Message, waiting: &Mutex<Pending>) {
    let Some(id) = message.properties.get(CORRELATION_ID) else { return };
    let waiters = &mut lock(waiting).waiters;
    let Some(waiter) = waiters.get(id) else { return };
    let too_much = waiter.unread.add(message.body.len());
    if too_much || waiter.parts.try_send(message.clone()).is_err() {
        waiter.unread.is_overrun.store(true, Ordering::Relaxed);
        let id = id.to_owned();
        waiters.remove(&id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
