//! Where the messages of a variant come from and go to: its inputs, outputs and requests, with connections created when first needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use weir_config::names::processor_subscription;
use weir_config::records::{FitInput, FitOutput, FitRequest};
use weir_pubsub::{Class, Producer, Queue, Requester, Subscription, Topic};

use crate::error::RuntimeError;

/// One input.
pub(crate) struct Input {
    pub(crate) name: Arc<str>,
    pub(crate) queue: Queue,
    pub(crate) concurrency: u32,
    /// The index of the output for answers; only for inputs of requests.
    pub(crate) reply: Option<usize>,
}

impl Input {
    /// Whether a requester may be waiting for an answer.
    pub(crate) fn is_request(&self) -> bool {
        self.queue.topic().class() == Class::Request
    }
}

/// One output.
pub(crate) struct OutputRoute {
    pub(crate) name: Arc<str>,
    /// `None`: messages sent there are dropped and counted.
    pub(crate) topic: Option<Topic>,
    /// Whether sends are held until the message is settled.
    pub(crate) is_held: bool,
    pub(crate) producer: OnceCell<Box<dyn Producer>>,
}

impl OutputRoute {
    pub(crate) fn new(fit: FitOutput) -> Self {
        let is_held = fit.topic.as_ref().is_some_and(|topic| topic.class() == Class::Flow);
        OutputRoute { name: fit.name.into(), topic: fit.topic, is_held, producer: OnceCell::new() }
    }
}

/// One requested service.
pub(crate) struct RequestRoute {
    pub(crate) name: Arc<str>,
    pub(crate) request: Topic,
    pub(crate) response: Topic,
    /// The subscription to its answers.
    pub(crate) subscription: Subscription,
    pub(crate) timeout: Duration,
    pub(crate) requester: OnceCell<Requester>,
}

impl Input {
    pub(crate) fn new(fit: FitInput, outputs: &[OutputRoute]) -> Self {
        let reply = fit.reply.and_then(|name| outputs.iter().position(|output| *output.name == *name));
        Input { name: fit.name.into(), queue: fit.queue, concurrency: fit.concurrency, reply }
    }
}

impl RequestRoute {
    pub(crate) fn new(fit: FitRequest, (processor, variant): (&str, &str)) -> Result<Self, RuntimeError> {
        let subscription = processor_subscription(processor, variant, &fit.name).map_err(|source| {
            let what = format!("the subscription to answers of request `{}`", fit.name);
            RuntimeError::Name { what, source }
        })?;
        Ok(RequestRoute {
            name: fit.name.into(),
            request: fit.request,
            response: fit.response,
            subscription,
            timeout: Duration::from_millis(u64::from(fit.timeout_ms)),
            requester: OnceCell::new(),
        })
    }
}
