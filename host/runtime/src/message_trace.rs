//! The trace of each message in the log, by its id: target `weir::message`, level `debug`. If disabled, a step costs one load. The words and fields
//! are documented in docs/operating.md.

use tokio::time::Instant;
use tracing::Level;
use tracing::field::display;
use weir_pubsub::{Message, MessageId, Output, Topic};

use crate::failure::{AfterFailure, FaultKind};
use crate::outcome::{Fault, Handled};
use crate::variant::Variant;

const TARGET: &str = "weir::message";

/// Whether tracing of messages is enabled.
pub(crate) fn is_enabled() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// The time, if tracing of messages is enabled.
pub(crate) fn now() -> Option<Instant> {
    is_enabled().then(Instant::now)
}

/// A worker received a message.
pub(crate) fn received(of: &Variant, input: usize, message: &Message, delivery_count: u32) {
    let Variant { processor, name: variant, flow, deployment, .. } = of;
    let (queue, message_id, from) = (&of.inputs[input].queue, message.id.map(display), message.from.as_deref());
    tracing::debug!(
        target: TARGET,
        topic = %queue.topic(),
        subscription = %queue.subscription(),
        processor = &**processor,
        variant = &**variant,
        flow = &**flow,
        component = &**deployment,
        message_id,
        from,
        delivery_count,
        "message received"
    );
}

/// A component has handled it; its outputs are traced one by one.
pub(crate) fn handled(of: &Variant, message: &Message, attempt: u32, began: Instant, handled: &Handled) {
    let Variant { processor, name: variant, flow, deployment, .. } = of;
    let (message_id, elapsed_ms) = (message.id.map(display), began.elapsed().as_millis() as u64);
    let outputs_count = handled.outputs.len() as u64 + u64::from(handled.already_sent_count);
    tracing::debug!(
        target: TARGET,
        processor = &**processor,
        variant = &**variant,
        flow = &**flow,
        component = &**deployment,
        message_id,
        attempt,
        elapsed_ms,
        outputs_count,
        "message handled"
    );
    for Output { topic, message: output, .. } in &handled.outputs {
        sent(of, topic, output.id, message.id);
    }
}

/// A message was produced by another one.
pub(crate) fn sent(of: &Variant, topic: &Topic, id: Option<MessageId>, parent: Option<MessageId>) {
    let Variant { processor, name: variant, flow, deployment, .. } = of;
    let (message_id, parent_id) = (id.map(display), parent.map(display));
    tracing::debug!(
        target: TARGET,
        %topic,
        processor = &**processor,
        variant = &**variant,
        flow = &**flow,
        component = &**deployment,
        message_id,
        parent_id,
        "message sent"
    );
}

/// An attempt failed. Faults that break an instance are logged as warnings; a requested retry is only traced.
pub(crate) fn failed(of: &Variant, message: &Message, attempt: u32, fault: &Fault, next: AfterFailure) {
    let Variant { processor, name: variant, flow, deployment, .. } = of;
    let (message_id, verdict, error) = (message.id.map(display), fault.kind.word(), &*fault.reason);
    let (next, wait_ms) = match next {
        AfterFailure::Again { wait } => ("again", Some(wait.as_millis() as u64)),
        AfterFailure::DeadLetter => ("given up", None),
        AfterFailure::Requeue => ("requeued", None),
    };
    let (processor, variant, flow, component) = (&**processor, &**variant, &**flow, &**deployment);
    if matches!(fault.kind, FaultKind::Trap | FaultKind::TimeOut) {
        tracing::warn!(processor, variant, flow, component, message_id, attempt, verdict, error, next, wait_ms, "attempt aborted");
    } else {
        tracing::debug!(
            target: TARGET, processor, variant, flow, component, message_id, attempt, verdict, error, next, wait_ms,
            "attempt failed"
        );
    }
}

/// It was requeued, unsettled.
pub(crate) fn requeued(of: &Variant, message: &Message) {
    let Variant { processor, name: variant, flow, deployment, .. } = of;
    let (processor, variant, flow, component) = (&**processor, &**variant, &**flow, &**deployment);
    tracing::debug!(target: TARGET, processor, variant, flow, component, message_id = message.id.map(display), "message requeued");
}

/// It is acknowledged, together with its outputs.
pub(crate) fn settled(processor: &str, variant: &str, id: Option<MessageId>) {
    tracing::debug!(target: TARGET, processor, variant, message_id = id.map(display), "message settled");
}
