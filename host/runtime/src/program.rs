//! One variant of a processor, ready to run: a component with its topics, parameters and limits. All its instances share it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use weir_config::names::processor_subscription;
use weir_config::records::{
    ComponentDefaults, ComponentLimits, ComponentRecord, ComponentRef, Entry, Fit, FitInput, FitOutput, FitRequest, RetryPolicy, fit,
};
use weir_pubsub::{
    Backend, CORRELATION_ID, Class, Limits, Message, Producer, PubsubError, Queue, Requester, Subscription, Topic, WEIR_ERROR, chain,
};

use crate::component::Loaded;
use crate::console::LogQuota;
use crate::error::RuntimeError;
use crate::renewals::Renewals;
use crate::slots::{Purpose, Slot};

/// How many messages a consumer holds unsettled unless its deployment says otherwise.
const WINDOW: u32 = 256;

/// Where a program runs.
#[derive(Clone)]
pub struct Surroundings {
    /// The broker.
    pub backend: Arc<dyn Backend>,
    /// Cancelled when the host wants to stop.
    pub stop: CancellationToken,
    /// What holds where a deployment gives nothing else.
    pub defaults: Arc<ComponentDefaults>,
}

/// A component with what one entry gives it.
pub struct Program {
    pub(crate) processor: Arc<str>,
    pub(crate) variant: Arc<str>,
    pub(crate) flow: Arc<str>,
    /// `NAME@VERSION`.
    pub(crate) deployment: Arc<str>,
    pub(crate) component: ComponentRef,
    /// The first digits of the digest, for `weir-from`.
    pub(crate) short_digest: String,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<OutputRoute>,
    pub(crate) requests: Vec<RequestRoute>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) config_types: Vec<String>,
    pub(crate) limits: ComponentLimits,
    pub(crate) retry: RetryPolicy,
    pub(crate) window: NonZeroU32,
    pub(crate) message_limits: Limits,
    pub(crate) log_quota: Arc<LogQuota>,
    pub(crate) renewals: Renewals,
    pub(crate) surroundings: Surroundings,
}

/// One input.
pub(crate) struct Input {
    pub(crate) name: Arc<str>,
    pub(crate) queue: Queue,
    pub(crate) concurrency: u32,
    /// The output that answers go to, by its place; only of inputs of requests.
    pub(crate) reply: Option<usize>,
}

impl Input {
    /// Whether somebody may wait for an answer.
    pub(crate) fn is_request(&self) -> bool {
        self.queue.topic().class() == Class::Request
    }
}

/// One output.
pub(crate) struct OutputRoute {
    pub(crate) name: Arc<str>,
    /// `None`: what is sent there is dropped and counted.
    pub(crate) topic: Option<Topic>,
    /// Whether sends are held until the message is settled.
    pub(crate) is_held: bool,
    producer: OnceCell<Box<dyn Producer>>,
}

impl OutputRoute {
    fn new(fit: FitOutput) -> Self {
        let is_held = fit.topic.as_ref().is_some_and(|topic| topic.class() == Class::Flow);
        OutputRoute { name: fit.name.into(), topic: fit.topic, is_held, producer: OnceCell::new() }
    }
}

/// One service that is asked.
pub(crate) struct RequestRoute {
    pub(crate) name: Arc<str>,
    request: Topic,
    response: Topic,
    /// What its answers are read under.
    subscription: Subscription,
    pub(crate) timeout: Duration,
    requester: OnceCell<Requester>,
}

impl Program {
    /// Fits a component to an entry.
    ///
    /// # Errors
    /// `Entry`, with all that does not fit.
    pub fn new(
        names: (&str, &str),
        entry: &Entry,
        component: ComponentRef,
        record: &ComponentRecord,
        loaded: Arc<Loaded>,
        surroundings: Surroundings,
    ) -> Result<Self, RuntimeError> {
        let (processor, variant) = names;
        let Fit { inputs, outputs, requests, parameters } = fit(processor, variant, entry, record)?;
        let limits = within(record.limits_over(&surroundings.defaults), surroundings.backend.limits());
        let outputs: Vec<OutputRoute> = outputs.into_iter().map(OutputRoute::new).collect();
        Ok(Program {
            processor: processor.into(),
            variant: variant.into(),
            flow: entry.flow.as_deref().unwrap_or_default().into(),
            deployment: component.key().into(),
            short_digest: component.digest.short(),
            component,
            loaded,
            inputs: inputs.into_iter().map(|input| Input::new(input, &outputs)).collect(),
            outputs,
            requests: requests.into_iter().map(|request| RequestRoute::new(request, names)).collect::<Result<_, _>>()?,
            parameters,
            config_types: record.descriptor.config_types.iter().map(|config_type| config_type.name.clone()).collect(),
            retry: record.retry_over(&surroundings.defaults),
            window: NonZeroU32::new(record.window.unwrap_or(WINDOW)).unwrap_or(NonZeroU32::MIN),
            message_limits: *surroundings.backend.limits(),
            log_quota: Arc::new(LogQuota::new(limits.log_bytes_per_minute)),
            limits,
            renewals: Renewals::default(),
            surroundings,
        })
    }

    /// What an instance that handles messages of an input is for.
    pub(crate) fn purpose(&self, input: usize) -> Purpose {
        if self.inputs.get(input).is_some_and(Input::is_request) { Purpose::Request } else { Purpose::Flow }
    }

    /// What an instance that handles messages of an input is for, and how many slots it takes.
    pub(crate) fn needs(&self, input: usize) -> (Purpose, u32) {
        (self.purpose(input), self.loaded.slots_count)
    }

    /// Waits for the slots of an instance that handles messages of an input.
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn slot(&self, input: usize) -> Slot {
        let (purpose, count) = self.needs(input);
        self.loaded.engine.slots().take(purpose, count).await
    }

    /// The place of an output by its name.
    pub(crate) fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| *output.name == *name)
    }

    /// Publishes at once, on an output that is not held. Without a topic the message is dropped.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub(crate) async fn publish(&self, output: usize, message: Message) -> Result<(), PubsubError> {
        let route = &self.outputs[output];
        let Some(topic) = &route.topic else { return Ok(()) };
        let producer = route.producer.get_or_try_init(|| self.surroundings.backend.producer(topic)).await?;
        producer.publish_confirmed(message).await
    }

    /// Answers a request with an error instead of a result, if the input answers requests and this one has an id to answer to.
    pub(crate) async fn answer_with_error(&self, input: usize, request: &Message, error: &str, reason: &str) {
        let (Some(output), Some(id)) = (self.inputs[input].reply, request.properties.get(CORRELATION_ID)) else { return };
        let body = serde_json::json!({"error": {"type": error, "message": reason}}).to_string();
        let answer = Message::new(body).with(CORRELATION_ID, id).with(WEIR_ERROR, error);
        if let Err(error) = self.publish(output, answer).await {
            let message_id = request.id.map(tracing::field::display);
            tracing::warn!(processor = &*self.processor, message_id, error = %chain(&error), "error not sent to the requester");
        }
    }

    /// The connection to a service that is asked, made when first needed.
    ///
    /// # Errors
    /// As [`Requester::connect`].
    pub(crate) async fn requester(&self, request: usize) -> Result<&Requester, PubsubError> {
        let route = &self.requests[request];
        let connect =
            || async { Requester::connect(self.surroundings.backend.clone(), &route.request, &route.response, &route.subscription).await };
        route.requester.get_or_try_init(connect).await
    }
}

/// What a component may do, and no more than its broker takes: older records may say more.
fn within(limits: ComponentLimits, of_broker: &Limits) -> ComponentLimits {
    ComponentLimits { sends_bytes: limits.sends_bytes.min(of_broker.max_settle_bytes), ..limits }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("processor", &self.processor)
            .field("variant", &self.variant)
            .field("deployment", &self.deployment)
            .finish_non_exhaustive()
    }
}

impl Input {
    fn new(fit: FitInput, outputs: &[OutputRoute]) -> Self {
        let reply = fit.reply.and_then(|name| outputs.iter().position(|output| *output.name == *name));
        Input { name: fit.name.into(), queue: fit.queue, concurrency: fit.concurrency, reply }
    }
}

impl RequestRoute {
    fn new(fit: FitRequest, (processor, variant): (&str, &str)) -> Result<Self, RuntimeError> {
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
