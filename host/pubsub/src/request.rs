//! Requests and their answers over any backend: bind first, then ask; answers are found by the property `id`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Consumer, ConsumerOptions, Producer};
use crate::error::{PubsubError, Result};
use crate::message::{CORRELATION_ID, Message, MessageId, WEIR_PART};
use crate::supervise::restarting;
use crate::topic::{Subscription, Topic};

/// Parts of one answer that may wait for their reader; a reader further behind loses the answer.
const BUFFERED_PARTS: usize = 1024;
/// Their bodies together, or one part of any size: a component's answer has at most 4 MiB, and many readers may stand still at once.
const BUFFERED_BYTES: usize = 16 << 20;

type Waiting = Arc<Mutex<HashMap<String, Asker>>>;

/// The same of all askers of one requester together: an asker that has unread parts loses its answer above it.
const BUFFERED_BYTES_OF_ALL: usize = 64 << 20;

/// Whoever waits for an answer.
struct Asker {
    parts: mpsc::Sender<Message>,
    unread: Arc<Unread>,
}

/// Bodies of the parts that were not read yet.
struct Unread {
    own_bytes: AtomicUsize,
    /// Of all askers.
    all_bytes: Arc<AtomicUsize>,
}

impl Unread {
    fn of(all_bytes: Arc<AtomicUsize>) -> Self {
        Unread { own_bytes: AtomicUsize::new(0), all_bytes }
    }

    /// Counts a part; whether it is too much beside what this asker has not read.
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

impl Drop for Unread {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(*self.own_bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Sends requests to one topic and takes the answers from another.
///
/// Any number of requests may be under way; each takes only the answers that carry its own `id`. Dropping it ends its subscription.
pub struct Requester {
    producer: Box<dyn Producer>,
    request_topic: Topic,
    waiting: Waiting,
    /// Bodies of the parts that no asker has read yet.
    unread_bytes: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

impl Requester {
    /// Binds the subscription to the answers, so that a request sent from now on cannot lose its answer. `name` tells people who reads.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn connect(backend: &dyn Backend, request_topic: &Topic, response_topic: &Topic, name: &Subscription) -> Result<Self> {
        let answers = backend.consumer(response_topic, name, ConsumerOptions::default()).await?;
        let producer = backend.producer(request_topic).await?;
        let waiting = Waiting::default();
        let for_reader = waiting.clone();
        let reader = tokio::spawn(async move {
            let panicked = |panic: &str| tracing::error!(error = panic, "reader of answers panicked, restarting it");
            restarting(&CancellationToken::new(), || read_answers(&*answers, &for_reader), panicked).await;
        });
        Ok(Requester { producer, request_topic: request_topic.clone(), waiting, unread_bytes: Arc::default(), reader })
    }

    /// Asks and waits for the answer; of an answer in parts, the last one.
    ///
    /// # Errors
    /// `TimedOut`, and as [`Producer::publish`].
    ///
    /// # Cancel safety
    /// The request may be worked on all the same; its answer is dropped.
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<Message> {
        let mut replies = self.begin(message, timeout).await?;
        let mut last = None;
        while let Some(part) = replies.next().await? {
            last = Some(part);
        }
        last.ok_or_else(|| PubsubError::Unavailable { reason: "the answer ended without a part".to_owned() })
    }

    /// Asks and returns at once; the answer's parts are read from what is returned. The request expires with its time.
    ///
    /// # Errors
    /// As [`Producer::publish`]; `Unavailable` also when the subscription was lost: connect anew then.
    pub async fn begin(&self, mut message: Message, timeout: Duration) -> Result<Replies> {
        if self.reader.is_finished() {
            return Err(lost());
        }
        let id = MessageId::random(&mut rand::rng()).to_string();
        let (sender, parts) = mpsc::channel(BUFFERED_PARTS);
        let unread = Arc::new(Unread::of(self.unread_bytes.clone()));
        lock(&self.waiting).insert(id.clone(), Asker { parts: sender, unread: unread.clone() });
        let replies = Replies {
            id: id.clone(),
            parts,
            unread,
            waiting: self.waiting.clone(),
            deadline: Instant::now() + timeout,
            timeout,
            topic: self.request_topic.clone(),
            state: State::Open,
        };
        message.properties.set(CORRELATION_ID, id);
        message.expires_in = Some(timeout);
        self.producer.publish(message).await?;
        Ok(replies)
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.reader.abort();
        lock(&self.waiting).clear();
    }
}

#[derive(PartialEq)]
enum State {
    Open,
    Ended,
}

/// The answer to one request, part by part.
pub struct Replies {
    id: String,
    parts: mpsc::Receiver<Message>,
    unread: Arc<Unread>,
    waiting: Waiting,
    deadline: Instant,
    timeout: Duration,
    topic: Topic,
    state: State,
}

impl Replies {
    /// The next part; `None` after the last one.
    ///
    /// # Errors
    /// `TimedOut` when the time of the request is up; `Unavailable` when the subscription was lost, or the parts came faster than they were
    /// read. Both end the answer.
    ///
    /// # Cancel safety
    /// No part is lost.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        if self.state == State::Ended {
            return Ok(None);
        }
        let part = tokio::time::timeout_at(self.deadline, self.parts.recv()).await;
        match part {
            Ok(Some(message)) => {
                self.unread.remove(message.body.len());
                if message.properties.get(WEIR_PART) != Some("more") {
                    self.state = State::Ended;
                }
                Ok(Some(message))
            }
            Ok(None) => {
                self.state = State::Ended;
                Err(lost())
            }
            Err(_) => {
                self.state = State::Ended;
                Err(PubsubError::TimedOut { topic: self.topic.to_string(), waited_ms: self.timeout.as_millis() as u64 })
            }
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.id);
    }
}

async fn read_answers(answers: &dyn Consumer, waiting: &Waiting) {
    loop {
        match answers.receive().await {
            Ok(delivery) => hand_over(delivery.message, waiting),
            Err(PubsubError::Lagged { missed_count }) => {
                tracing::warn!(missed_count, "answers were missed");
            }
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "subscription to answers ended");
                lock(waiting).clear();
                return;
            }
        }
    }
}

fn hand_over(message: Message, waiting: &Waiting) {
    let Some(id) = message.properties.get(CORRELATION_ID) else { return };
    let mut waiting = lock(waiting);
    let Some(asker) = waiting.get(id) else { return };
    let too_much = asker.unread.add(message.body.len());
    if too_much || asker.parts.try_send(message.clone()).is_err() {
        let id = id.to_owned();
        waiting.remove(&id);
    }
}

fn lost() -> PubsubError {
    PubsubError::Unavailable { reason: "the subscription to the answers was lost, or they came faster than they were read".to_owned() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
