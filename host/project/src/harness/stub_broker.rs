//! A stub broker: services that return prepared answers, and a store for everything that is sent.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use weir_config::records::{Descriptor, Entry};
use weir_pubsub::{
    Backend, CORRELATION_ID, Confirm, Consumer, ConsumerOptions, Delete, Deletion, Delivery, DeliveryCount, Inspect, Limits, Lock,
    LockName, Message, Output, Producer, PubsubError, Queue, QueueSpec, QueueStats, Receipt, Result, Settled, Subscription, Topic,
    Unsettled, WEIR_ERROR, WEIR_PART,
};

/// Capacity for unread parts of answers; more than any answer of a fixture has.
const MAX_PARTS_COUNT: usize = 4_096;

/// The response of a service to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The parts of an answer.
    Parts(Vec<Message>),
    /// No answer until the time-out.
    TimeOut,
    /// The request cannot be sent now.
    Unavailable(String),
    /// The service answers with an error.
    Failed(String),
    /// The request can never be sent.
    Invalid,
}

/// What was sent while a message was handled.
#[derive(Default)]
pub(super) struct SentMessages {
    pub(super) replies: Vec<Message>,
    pub(super) requests: Vec<(String, Message)>,
    pub(super) unanswered: Vec<String>,
}

/// The stub.
pub(super) struct StubBroker(Arc<Inner>);

struct Inner {
    limits: Limits,
    /// By request topic: the request's name and the topic of its answers.
    requests: HashMap<Topic, (String, Topic)>,
    outputs: HashMap<Topic, String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    left: SentMessages,
    answers: BTreeMap<String, VecDeque<Answer>>,
    /// The readers of answers, by topic.
    readers: HashMap<Topic, mpsc::Sender<Message>>,
}

impl StubBroker {
    pub(super) fn new(descriptor: &Descriptor, entry: &Entry, answers: BTreeMap<String, Vec<Answer>>) -> Self {
        let topic = |name: &str| entry.topics.get(name).and_then(|text| text.parse::<Topic>().ok());
        let requests = descriptor.requests.iter();
        let requests = requests.filter_map(|it| Some((topic(&it.request)?, (it.name.clone(), topic(&it.response)?)))).collect();
        let outputs = entry.topics.iter().filter_map(|(name, text)| Some((text.parse().ok()?, name.clone()))).collect();
        let answers = answers.into_iter().map(|(name, list)| (name, list.into())).collect();
        let state = Mutex::new(State { answers, ..State::default() });
        StubBroker(Arc::new(Inner { limits: Limits::default(), requests, outputs, state }))
    }

    /// What was sent since the last call.
    pub(super) fn take(&self) -> SentMessages {
        std::mem::take(&mut self.0.state().left)
    }

    /// The name of the output with this topic.
    pub(super) fn output_name(&self, topic: &Topic) -> String {
        self.0.outputs.get(topic).cloned().unwrap_or_else(|| topic.to_string())
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, topic: &Topic, message: Message) -> Result<()> {
        self.limits.check(topic, &message)?;
        let mut state = self.state();
        let Some((name, response)) = self.requests.get(topic) else {
            // The host ends an answer that was left open with an empty part, which has no id.
            if message.id.is_some() {
                state.left.replies.push(message);
            }
            return Ok(());
        };
        let id = message.properties.get(CORRELATION_ID).unwrap_or_default().to_owned();
        state.left.requests.push((name.clone(), message));
        let answer = state.answers.get_mut(name).and_then(VecDeque::pop_front);
        let Some(answer) = answer else {
            state.left.unanswered.push(name.clone());
            return Err(PubsubError::unavailable(format!("the fixture has no answer for this request `{name}`")));
        };
        let parts = parts(answer, name)?;
        let count = parts.len();
        let reader = state.readers.get(response).cloned();
        for (at, part) in parts.into_iter().enumerate() {
            let part = part.with(CORRELATION_ID, id.clone());
            let part = if at + 1 < count { part.with(WEIR_PART, "more") } else { part };
            let sent = reader.as_ref().is_some_and(|reader| reader.try_send(part).is_ok());
            if !sent {
                return Err(PubsubError::unavailable("the answer has too many parts"));
            }
        }
        Ok(())
    }
}

/// The messages of an answer.
fn parts(answer: Answer, name: &str) -> Result<Vec<Message>> {
    match answer {
        Answer::Parts(parts) => Ok(parts),
        // It has already expired when it arrives.
        Answer::TimeOut => Ok(vec![Message { expires_in: Some(Duration::ZERO), ..Message::default() }]),
        Answer::Failed(reason) => {
            let body = serde_json::json!({"error": {"type": "failed", "message": reason}}).to_string();
            Ok(vec![Message::new(body).with(WEIR_ERROR, "failed")])
        }
        Answer::Unavailable(reason) => Err(PubsubError::unavailable(reason)),
        Answer::Invalid => {
            let what = format!("the request `{name}`");
            Err(PubsubError::TooLarge { what, actual_bytes: 1 + (4 << 20), limit_bytes: 4 << 20 })
        }
    }
}

fn unsupported<T>(what: &'static str) -> Result<T> {
    Err(PubsubError::Unsupported { what })
}

#[async_trait]
impl Backend for StubBroker {
    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn create_queue(&self, _: &QueueSpec) -> Result<()> {
        Ok(())
    }

    async fn ensure_queue(&self, _: &QueueSpec) -> Result<()> {
        Ok(())
    }

    async fn delete_queue(&self, _: &Queue, _: Delete) -> Result<Deletion> {
        Ok(Deletion::Deleted)
    }

    async fn queue_exists(&self, _: &Queue) -> Result<bool> {
        Ok(true)
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        Ok(Box::new(Sending { inner: self.0.clone(), topic: topic.clone() }))
    }

    async fn consumer(&self, topic: &Topic, _: &Subscription, _: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        let (sender, parts) = mpsc::channel(MAX_PARTS_COUNT);
        self.0.state().readers.insert(topic.clone(), sender);
        Ok(Box::new(Reading(AsyncMutex::new(parts))))
    }

    fn settle(&self, _: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        Box::pin(async move { Err(Unsettled::whole(PubsubError::Unsupported { what: "settling" }, outputs.len())) })
    }

    async fn requeue(&self, _: &Receipt) -> Result<()> {
        Ok(())
    }

    async fn lock(&self, _: &LockName) -> Result<Box<dyn Lock>> {
        unsupported("locks")
    }

    async fn close(&self) {}
}

#[async_trait]
impl Inspect for StubBroker {
    async fn stats(&self, _: &Queue) -> Result<QueueStats> {
        Ok(QueueStats::default())
    }
}

struct Sending {
    inner: Arc<Inner>,
    topic: Topic,
}

#[async_trait]
impl Producer for Sending {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        self.inner.publish(&self.topic, message).map(|()| Confirm::resolved(Ok(())))
    }
}

/// Reads answers.
struct Reading(AsyncMutex<mpsc::Receiver<Message>>);

#[async_trait]
impl Consumer for Reading {
    async fn receive(&self) -> Result<Delivery> {
        match self.0.lock().await.recv().await {
            Some(message) => Ok(Delivery { message, receipt: Receipt::none(), delivery_count: DeliveryCount::Exact(1) }),
            None => Err(PubsubError::unavailable("the case has ended")),
        }
    }

    async fn readable(&self) -> Result<()> {
        Ok(())
    }

    fn set_window(&self, _: NonZeroU32) {}
}
