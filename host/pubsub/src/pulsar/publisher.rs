//! Publishing: one task for each topic in use. It sends messages to the broker in order, each on its own: clients of other kinds would acknowledge a
//! batch as one. It ends when nothing was published on its topic for a while.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::broker_error::{BrokerError, BrokerErrorKind};
use super::envelope::metadata;
use super::frame;
use super::lifecycle::{Lifecycle, refuses};
use super::names::TopicName;
use super::proto::{BaseCommand, MessageMetadata, Send, kind};
use super::publishing::Publishing;
use super::session::Session;
use super::topic_limits::{self, TopicLimits};
use super::wire::{Failure, ProducerEvent};
use crate::backend::Confirm;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::network::closed;
use crate::retry::Backoff;
use crate::topic::Topic;

/// The maximum number of messages of one topic waiting for their confirmation.
const UNCONFIRMED_COUNT: usize = 1024;
/// The maximum number of messages of one topic waiting to be sent. Producers wait for a permit earlier; outputs of settles beyond it fail and are
/// resent.
const QUEUED_COUNT: usize = 1 << 16;
/// The time-out of a confirmation.
const CONFIRM_TIME: Duration = Duration::from_secs(30);
/// How long starting to publish is retried on a topic that exists but is temporarily not served, and the waits between the attempts.
const OPEN_TIME: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long late confirmations of a producer that the broker has ended are awaited.
const LATE_CONFIRM_TIME: Duration = Duration::from_secs(1);
/// The maximum number of times that a message is sent while its topic moves.
const MAX_SENDS_COUNT: u32 = 3;
/// How long quiescing a topic waits for its messages in flight.
const QUIESCE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the task of an unused topic is kept.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// The maximum overhead of a message's frame beside body and properties.
const ENVELOPE_BYTES: usize = 2 << 10;

/// A message to publish.
struct Post {
    metadata: MessageMetadata,
    body: Bytes,
    done: oneshot::Sender<Result<()>>,
    sent_count: u32,
    /// Held until the message is confirmed.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The tasks for publishing, by topic.
pub(super) struct Publishers {
    publishing: Arc<Publishing>,
    lifecycle: Arc<Lifecycle>,
    publishers: Mutex<HashMap<Topic, PublisherHandle>>,
    /// The largest message that the broker accepts; 0 until the broker has reported it.
    largest_bytes: AtomicUsize,
    limits: Arc<TopicLimits>,
    tasks: TaskTracker,
}

/// The handle of a topic's task.
struct PublisherHandle {
    posts: mpsc::Sender<Post>,
    /// Whether the task should publish nothing for a while.
    quiesce: Arc<watch::Sender<bool>>,
    /// Whether the task publishes nothing and has no producer at the broker.
    is_quiesced: watch::Receiver<bool>,
}

/// While this exists, this process publishes nothing on a topic.
pub(super) struct Quiesced(Arc<watch::Sender<bool>>);

impl Drop for Quiesced {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl Publishers {
    pub(super) fn new(publishing: Arc<Publishing>, lifecycle: Arc<Lifecycle>) -> Self {
        Publishers {
            publishing,
            lifecycle,
            publishers: Mutex::default(),
            largest_bytes: AtomicUsize::new(0),
            limits: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Checks a message against the limits of the broker and of its topic, if known.
    pub(super) fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        if let Err(error) = self.limits.check(topic, message) {
            self.refresh_limit(topic);
            return Err(error);
        }
        if let Ok(wire) = self.publishing.of(topic).link.up() {
            self.largest_bytes.store(wire.max_message_bytes, Ordering::Relaxed);
        }
        let limit_bytes = self.largest_bytes.load(Ordering::Relaxed);
        let actual_bytes = usize::try_from(crate::message::size_of(message)).unwrap_or(usize::MAX);
        if limit_bytes == 0 || actual_bytes.saturating_add(ENVELOPE_BYTES) <= limit_bytes {
            return Ok(());
        }
        let what = "the message, by maxMessageSize of the broker,".to_owned();
        Err(PubsubError::TooLarge {
            what,
            actual_bytes: actual_bytes as u64,
            limit_bytes: limit_bytes.saturating_sub(ENVELOPE_BYTES) as u64,
        })
    }

    /// Updates the known limit of a topic, unless that was just done.
    fn refresh_limit(&self, topic: &Topic) {
        if let Some(topic_name) = self.limits.is_refresh_due(topic).then(|| TopicName::of(topic).ok()).flatten() {
            let (lifecycle, limits, topic) = (self.lifecycle.clone(), self.limits.clone(), topic.clone());
            self.tasks.spawn(async move { limits.refresh(&lifecycle.admin, &topic, &topic_name).await });
        }
    }

    /// Assigns a message its position in the order. Its limits are already checked. `only` is the subscription, if the message is for one only.
    pub(super) fn publish(
        self: &Arc<Self>,
        topic: &Topic,
        message: &Message,
        only: Option<&str>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Confirm {
        if let Err(error) = self.check(topic, message) {
            return Confirm::resolved(Err(error));
        }
        let (done, outcome) = oneshot::channel();
        let metadata = metadata(topic.class(), message, only);
        let post = Post { metadata, body: message.body.clone(), done, sent_count: 0, _permit: permit };
        match self.give(topic, post) {
            Ok(()) => Confirm::waiting(outcome),
            Err(error) => Confirm::resolved(Err(error)),
        }
    }

    fn give(self: &Arc<Self>, topic: &Topic, post: Post) -> Result<()> {
        let mut publishers = lock(&self.publishers);
        match self.handle(&mut publishers, topic)?.posts.try_send(post) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(PubsubError::unavailable(format!(
                "the broker confirms too slowly: {QUEUED_COUNT} messages of {topic} are waiting to be \
                     sent"
            ))),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(PubsubError::unavailable("publishing on the topic was aborted")),
        }
    }

    /// Stops publishing on a topic in this process until the returned guard is dropped; new messages wait. Earlier messages are done when this
    /// returns, unless that takes too long.
    pub(super) async fn quiesce(self: &Arc<Self>, topic: &Topic) -> Result<Quiesced> {
        let (quiesce, mut is_quiesced) = {
            let mut publishers = lock(&self.publishers);
            let handle = self.handle(&mut publishers, topic)?;
            (Quiesced(handle.quiesce.clone()), handle.is_quiesced.clone())
        };
        quiesce.0.send_replace(true);
        let _ = timeout(QUIESCE_TIMEOUT, is_quiesced.wait_for(|is_quiesced| *is_quiesced)).await;
        Ok(quiesce)
    }

    /// The handle of a topic's task, which is started if there is none.
    fn handle<'a>(self: &Arc<Self>, publishers: &'a mut HashMap<Topic, PublisherHandle>, topic: &Topic) -> Result<&'a PublisherHandle> {
        if self.tasks.is_closed() {
            return Err(closed());
        }
        match publishers.entry(topic.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => {
                let topic_name = TopicName::of(topic)?;
                let (posts, given) = mpsc::channel(QUEUED_COUNT);
                let (quiesce, rests) = watch::channel(false);
                let (quiesced, is_quiesced) = watch::channel(false);
                let publisher = Publisher {
                    publishers: self.clone(),
                    topic: topic.clone(),
                    topic_name,
                    given,
                    rests,
                    quiesced,
                    session: None,
                    refusing_bytes: None,
                    in_flight: VecDeque::new(),
                };
                self.tasks.spawn(publisher.run());
                Ok(vacant.insert(PublisherHandle { posts, quiesce: Arc::new(quiesce), is_quiesced }))
            }
        }
    }

    /// Accepts no more messages, and waits until all earlier ones are done.
    pub(super) async fn close(&self) {
        {
            let mut publishers = lock(&self.publishers);
            self.tasks.close();
            publishers.clear();
        }
        self.tasks.wait().await;
    }
}

/// The task of a topic.
struct Publisher {
    publishers: Arc<Publishers>,
    topic: Topic,
    topic_name: TopicName,
    given: mpsc::Receiver<Post>,
    rests: watch::Receiver<bool>,
    quiesced: watch::Sender<bool>,
    session: Option<Open>,
    /// The bound above which the topic refuses messages.
    refusing_bytes: Option<u64>,
    /// Messages sent but not confirmed, each with its number and the deadline of its confirmation.
    in_flight: VecDeque<(u64, Instant, Post)>,
}

/// The task's producer at the broker.
struct Open {
    session: Session,
    next_number: u64,
}

impl Publisher {
    async fn run(mut self) {
        loop {
            let deadline = self.in_flight.front().map(|(_, deadline, _)| *deadline);
            let is_to_rest = *self.rests.borrow_and_update();
            if is_to_rest && self.in_flight.is_empty() {
                self.end().await;
            }
            self.quiesced.send_replace(is_to_rest && self.session.is_none() && self.in_flight.is_empty());
            let may_send = self.in_flight.len() < UNCONFIRMED_COUNT && !is_to_rest;
            tokio::select! {
                biased;
                event = next_event(&mut self.session) => self.take(event).await,
                Ok(()) = self.rests.changed() => {}
                () = until(deadline), if deadline.is_some() => self.give_up(),
                post = self.given.recv(), if may_send => match post {
                    Some(post) => self.send(post).await,
                    None => break,
                },
                () = tokio::time::sleep(IDLE_TIME), if deadline.is_none() && !is_to_rest => {
                    if self.leave() {
                        return self.end().await;
                    }
                }
            }
        }
        // No more messages will arrive: wait for those in flight.
        while let Some((_, deadline, _)) = self.in_flight.front() {
            let deadline = *deadline;
            tokio::select! {
                biased;
                event = next_event(&mut self.session), if self.session.is_some() => self.take(event).await,
                () = tokio::time::sleep_until(deadline) => self.give_up(),
            }
        }
        self.end().await;
    }

    /// Removes the task, unless a message has just arrived.
    fn leave(&mut self) -> bool {
        let mut publishers = lock(&self.publishers.publishers);
        let is_idle = self.given.is_empty() && !*self.rests.borrow();
        if is_idle {
            publishers.remove(&self.topic);
        }
        is_idle
    }

    async fn end(&mut self) {
        if let Some(open) = self.session.take() {
            open.session.close().await;
        }
    }

    /// A confirmation timed out: the producer is abandoned, and the outcome of all messages in flight is unknown.
    fn give_up(&mut self) {
        self.session = None;
        let seconds = CONFIRM_TIME.as_secs();
        self.fail(&PubsubError::outcome_unknown(format!("the broker has not confirmed the message within {seconds} s")));
    }

    fn fail(&mut self, error: &PubsubError) {
        for (.., post) in self.in_flight.drain(..) {
            let _ = post.done.send(Err(error.clone()));
        }
    }

    async fn take(&mut self, event: Option<ProducerEvent>) {
        match event {
            Some(ProducerEvent::Stored(number)) => self.confirmed(number, Ok(())),
            Some(ProducerEvent::Refused(number, refusal)) => {
                let error = self.refused(number, refusal).await;
                self.confirmed(number, Err(error));
            }
            Some(ProducerEvent::Closed) => self.moved().await,
            None => {
                let reason = self.session.take().map_or_else(closed, |open| open.session.wire.reason());
                self.fail(&outcome_unknown_error(reason));
            }
        }
    }

    /// The error for a message that the broker refuses.
    async fn refused(&self, number: u64, refusal: BrokerError) -> PubsubError {
        let post = self.in_flight.iter().find(|(of, ..)| *of == number).map(|(.., post)| post);
        let Some(post) = post.filter(|_| refusal.kind == BrokerErrorKind::TooLarge) else { return refusal.of_publishing(&self.topic) };
        let actual_bytes = (post.body.len() + post.metadata.encoded_len()) as u64;
        // If the policy is unreadable, or was changed since, the limit was at least below this size.
        let shown_bytes = self.publishers.lifecycle.admin.largest_message_bytes(&self.topic_name).await.ok().flatten();
        let limit_bytes = shown_bytes.unwrap_or(u64::MAX).min(actual_bytes.saturating_sub(1));
        self.publishers.limits.learn(&self.topic, limit_bytes);
        topic_limits::too_large(&self.topic, actual_bytes, limit_bytes)
    }

    fn confirmed(&mut self, number: u64, outcome: Result<()>) {
        if let Some(at) = self.in_flight.iter().position(|(of, ..)| *of == number)
            && let Some((.., post)) = self.in_flight.remove(at)
        {
            let _ = post.done.send(outcome);
        }
    }

    /// The broker has ended the producer: the topic is gone, moves to another node, or is fenced by a deletion. Messages that are not confirmed after
    /// that are resent.
    async fn moved(&mut self) {
        let Some(mut open) = self.session.take() else { return };
        let late = async {
            while !self.in_flight.is_empty() {
                match open.session.events.recv().await {
                    Some(ProducerEvent::Stored(number)) => self.confirmed(number, Ok(())),
                    Some(ProducerEvent::Refused(number, refusal)) => {
                        let error = self.refused(number, refusal).await;
                        self.confirmed(number, Err(error));
                    }
                    Some(ProducerEvent::Closed) => {}
                    None => break,
                }
            }
        };
        let _ = timeout(LATE_CONFIRM_TIME, late).await;
        open.session.forget();
        if !open.session.wire.is_up() {
            let reason = open.session.wire.reason();
            return self.fail(&outcome_unknown_error(reason));
        }
        let again: Vec<Post> = self.in_flight.drain(..).map(|(.., post)| post).collect();
        let mut again = again.into_iter();
        while let Some(post) = again.next() {
            if post.sent_count >= MAX_SENDS_COUNT {
                let reason = format!(
                    "the broker has ended publishing on the topic {MAX_SENDS_COUNT} times: it moves between nodes, or the broker cannot store \
                     messages; check its log and the disks of its bookies"
                );
                let _ = post.done.send(Err(PubsubError::outcome_unknown(reason)));
                continue;
            }
            if let Some(error) = self.open().await.err() {
                for post in [post].into_iter().chain(again.by_ref()) {
                    let _ = post.done.send(Err(error.clone()));
                }
                return;
            }
            self.write(post).await;
        }
    }

    async fn send(&mut self, post: Post) {
        // The loss of the connection may already have been reported to the sender.
        if self.session.as_ref().is_some_and(|open| !open.session.wire.is_up()) {
            self.take(None).await;
        }
        if let Err(error) = self.open().await {
            // Waiting messages would get the same error.
            let _ = post.done.send(Err(error.clone()));
            while let Ok(post) = self.given.try_recv() {
                let _ = post.done.send(Err(error.clone()));
            }
            return;
        }
        self.write(post).await;
    }

    async fn write(&mut self, mut post: Post) {
        let Some(open) = &mut self.session else { return };
        let number = open.next_number;
        open.next_number += 1;
        post.sent_count += 1;
        post.metadata.producer_name.clone_from(&open.session.name);
        post.metadata.sequence_id = number;
        let send = Send { producer_id: open.session.id, sequence_id: number };
        let send = BaseCommand { send: Some(send), ..BaseCommand::of(kind::SEND) };
        let frame = frame::message(&send, &post.metadata, post.body.clone());
        let wire = open.session.wire.clone();
        self.in_flight.push_back((number, Instant::now() + CONFIRM_TIME, post));
        // The end of the connection reports what is lost here.
        let _ = timeout(CONFIRM_TIME, wire.send(frame)).await;
    }

    /// Starts a producer at the broker, unless there is one.
    async fn open(&mut self) -> Result<()> {
        if self.refusing_bytes.is_some() && self.in_flight.is_empty() {
            // The broker checks the bound when a producer starts, and then once a minute.
            self.end().await;
        }
        if self.session.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + OPEN_TIME;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let failure = match self.try_open().await {
                Ok(session) => {
                    self.session = Some(Open { session, next_number: 0 });
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let wait = backoff.next_wait(&mut rand::rng());
            let is_transient =
                matches!(&failure, Failure::Refused(refusal) if matches!(refusal.kind, BrokerErrorKind::Passing | BrokerErrorKind::Fenced));
            if !is_transient || Instant::now() + wait >= deadline {
                return Err(match failure.of_publishing(&self.topic) {
                    PubsubError::QueueFull { what, used_bytes, fix, .. } => {
                        PubsubError::QueueFull { what, used_bytes, limit_bytes: self.refusing_bytes, fix }
                    }
                    error => error,
                });
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_open(&mut self) -> Result<Session, Failure> {
        let Publishers { publishing, lifecycle, .. } = &*self.publishers;
        let link = &publishing.of(&self.topic).link;
        link.up()?;
        let has_queues = self.topic.class().has_queues();
        // The broker accepts messages of a topic without consumers, and may create a missing topic.
        if has_queues && !lifecycle.is_consumed(&self.topic, &self.topic_name).await? {
            return Err(PubsubError::no_queue_of(&self.topic).into());
        }
        if self.topic_name.is_persistent {
            self.refusing_bytes = refuses(lifecycle.admin.applied_quota(&self.topic_name).await.unwrap_or_default().as_ref());
        }
        let url = self.topic_name.url();
        match Session::open(link, &url, UNCONFIRMED_COUNT).await {
            // `response` and `notify` topics are created on first use.
            Err(Failure::Refused(refusal)) if refusal.kind == BrokerErrorKind::NotFound && !has_queues => {
                lifecycle.admin.make_topic(&self.topic_name).await?;
                Session::open(link, &url, UNCONFIRMED_COUNT).await
            }
            opened => opened,
        }
    }
}

/// Waits for the next event of the producer; forever without one.
async fn next_event(session: &mut Option<Open>) -> Option<ProducerEvent> {
    match session {
        Some(open) => open.session.events.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Converts an error to one about messages that may have been stored.
fn outcome_unknown_error(error: PubsubError) -> PubsubError {
    match error {
        PubsubError::Unavailable { reason, source } => PubsubError::OutcomeUnknown { reason, source },
        other => other,
    }
}
