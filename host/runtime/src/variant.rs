//! One variant of a processor as its entry and its deployment describe it: topics, parameters and limits. It is the same for all instances
//! of its component, and independent of how that is compiled.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_config::records::{ComponentDefaults, ComponentLimits, ComponentRecord, ComponentRef, Entry, Fit, RetryPolicy, fit};
use weir_pubsub::{Backend, CORRELATION_ID, Limits, Message, PubsubError, Requester, WEIR_ERROR, chain};

use crate::console::LogQuota;
use crate::error::RuntimeError;
use crate::routes::{Input, OutputRoute, RequestRoute};

/// The default number of unsettled messages of a consumer.
const WINDOW: u32 = 256;

/// What a program gets from its surroundings: from a host, or from a bench or a test harness that has none.
pub struct ProgramEnvironment {
    /// The broker.
    pub backend: Arc<dyn Backend>,
    /// Cancelled when the program should finish: a component then has no time left.
    pub stop: CancellationToken,
    /// The defaults where a deployment gives no value.
    pub defaults: ComponentDefaults,
}

/// What one entry and its deployment define for a component.
pub(crate) struct Variant {
    pub(crate) processor: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) flow: Arc<str>,
    /// `NAME@VERSION`.
    pub(crate) deployment: Arc<str>,
    pub(crate) component: ComponentRef,
    /// The first digits of the digest, for `weir-from`.
    pub(crate) short_digest: String,
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
    pub(crate) backend: Arc<dyn Backend>,
    /// Cancelled when the processor or the host stops.
    pub(crate) stop: CancellationToken,
}

impl Variant {
    /// Fits a component to an entry.
    ///
    /// # Errors
    /// `Entry`, with every mismatch.
    pub(crate) fn new(
        names: (&str, &str),
        entry: &Entry,
        component: ComponentRef,
        record: &ComponentRecord,
        environment: ProgramEnvironment,
    ) -> Result<Self, RuntimeError> {
        let ProgramEnvironment { backend, stop, defaults } = environment;
        let (processor, variant) = names;
        let Fit { inputs, outputs, requests, parameters } = fit(processor, variant, entry, record)?;
        let limits = within(record.limits_over(&defaults), backend.limits());
        let outputs: Vec<OutputRoute> = outputs.into_iter().map(OutputRoute::new).collect();
        Ok(Variant {
            processor: processor.into(),
            name: variant.into(),
            flow: entry.flow.as_deref().unwrap_or_default().into(),
            deployment: component.key().into(),
            short_digest: component.digest.short(),
            component,
            inputs: inputs.into_iter().map(|input| Input::new(input, &outputs)).collect(),
            outputs,
            requests: requests.into_iter().map(|request| RequestRoute::new(request, names)).collect::<Result<_, _>>()?,
            parameters,
            config_types: record.descriptor.config_types.iter().map(|config_type| config_type.name.clone()).collect(),
            retry: record.retry_over(&defaults),
            window: NonZeroU32::new(record.window.unwrap_or(WINDOW)).unwrap_or(NonZeroU32::MIN),
            message_limits: *backend.limits(),
            log_quota: Arc::new(LogQuota::new(limits.log_bytes_per_minute)),
            limits,
            backend,
            stop,
        })
    }

    /// The index of an output by its name.
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
        let producer = route.producer.get_or_try_init(|| self.backend.producer(topic)).await?;
        producer.publish_confirmed(message).await
    }

    /// Answers a request with an error instead of a result, if the input answers requests and this one has a correlation id.
    pub(crate) async fn answer_with_error(&self, input: usize, request: &Message, error: &str, reason: &str) {
        let (Some(output), Some(id)) = (self.inputs[input].reply, request.properties.get(CORRELATION_ID)) else { return };
        let body = serde_json::json!({"error": {"type": error, "message": reason}}).to_string();
        let answer = Message::new(body).with(CORRELATION_ID, id).with(WEIR_ERROR, error);
        if let Err(error) = self.publish(output, answer).await {
            let message_id = request.id.map(tracing::field::display);
            tracing::warn!(processor = &*self.processor, message_id, error = %chain(&error), "error not sent to the requester");
        }
    }

    /// The connection to a requested service, created when first needed.
    ///
    /// # Errors
    /// As [`Requester::connect`].
    pub(crate) async fn requester(&self, request: usize) -> Result<&Requester, PubsubError> {
        let route = &self.requests[request];
        let connect = || async { Requester::connect(self.backend.clone(), &route.request, &route.response, &route.subscription).await };
        route.requester.get_or_try_init(connect).await
    }
}

/// The limits of a component, at most those of its broker: older records may have larger ones.
fn within(limits: ComponentLimits, of_broker: &Limits) -> ComponentLimits {
    ComponentLimits { sends_bytes: limits.sends_bytes.min(of_broker.max_settle_bytes), ..limits }
}
