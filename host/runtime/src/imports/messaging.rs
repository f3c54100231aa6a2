//! `messaging`: sending, answering and requesting.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_pubsub::{CORRELATION_ID, DEFAULT_CONTENT_TYPE, Message, Output, Properties, PubsubError, Routing, WEIR_PART, names};

use crate::bindings::weir::processor::delivery::MessageResult as GuestMessage;
use crate::bindings::weir::processor::messaging::{CallError, ErrorKind, Host, Part};
use crate::call::{AnswerState, BegunRequest, Call, Phase, TRACE_PROPERTIES};
use crate::guest::Guest;
use crate::message_trace;
use crate::output_budget::Yielded;
use crate::variant::Variant;

/// Properties of one message; more than anyone needs, and few enough for a linear search.
const MAX_PROPERTIES_COUNT: usize = 256;
/// Requests in flight in one call.
const MAX_BEGUN_COUNT: usize = 64;

type CallResult<T> = Result<T, CallError>;

fn invalid<T>(reason: impl Into<String>) -> CallResult<T> {
    Err(CallError { kind: ErrorKind::Invalid, reason: reason.into() })
}

fn unavailable(error: &PubsubError) -> CallError {
    let kind = match error {
        PubsubError::TimedOut { .. } => ErrorKind::Timeout,
        PubsubError::TooLarge { .. } | PubsubError::WrongClass { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    CallError { kind, reason: error.to_string() }
}

/// Whether a property is the host's own: hidden from components and not settable by them.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("weir-") || name == CORRELATION_ID || TRACE_PROPERTIES.contains(&name)
}

impl Host for Guest {
    async fn send(&mut self, to: String, message: GuestMessage) -> wasmtime::Result<CallResult<()>> {
        let (output, message) = match self.take(&to, message) {
            Ok(taken) => taken,
            Err(error) => return Ok(Err(error)),
        };
        let route = &self.variant.outputs[output];
        let Some(topic) = &route.topic else {
            self.call.dropped_count += 1;
            return Ok(Ok(()));
        };
        if route.is_held {
            // Whether some flow consumes it is checked when it is settled.
            let must_wait = self.call.charge.add(&message);
            self.call.outputs.push(Output { topic: topic.clone(), message, routing: Routing::Optional });
            return if must_wait { Box::pin(self.wait_for_budget()).await.map(Ok) } else { Ok(Ok(())) };
        }
        let variant = self.variant.clone();
        // Boxed, so that the common case, a held output, has a small future.
        Ok(Box::pin(self.publish(&variant, output, message)).await)
    }

    async fn reply(&mut self, message: GuestMessage, part: Part) -> wasmtime::Result<CallResult<()>> {
        Ok(self.answer(message, part).await)
    }

    async fn request(
        &mut self,
        to: String,
        message: GuestMessage,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<CallResult<Vec<GuestMessage>>> {
        Ok(self.request_all(&to, message, timeout_ms).await)
    }

    async fn begin_request(&mut self, to: String, message: GuestMessage, timeout_ms: Option<u32>) -> wasmtime::Result<CallResult<u32>> {
        Ok(self.begin(&to, message, timeout_ms).await)
    }

    async fn next_reply(&mut self, call: u32) -> wasmtime::Result<CallResult<Option<GuestMessage>>> {
        Ok(self.next_part(call).await)
    }
}

impl Guest {
    /// Waits until the host's budget has room for outputs.
    ///
    /// # Errors
    /// The attempt must end.
    async fn wait_for_budget(&mut self) -> wasmtime::Result<()> {
        let began = Instant::now();
        let times_out_while_waiting = self.call.charge.times_out_while_waiting();
        let wait = (!times_out_while_waiting).then(|| self.waits.begin());
        let admitted = self.call.charge.admit().await;
        drop(wait);
        if !times_out_while_waiting {
            self.call.time.extend(began.elapsed());
        }
        self.call.has_yielded = admitted.is_err();
        admitted.map_err(|Yielded| wasmtime::Error::msg("it waited for memory for its outputs (host.outputs)"))
    }

    /// Accepts a message for an output: all checks, and the properties that the host adds.
    fn take(&mut self, to: &str, message: GuestMessage) -> CallResult<(usize, Message)> {
        let Some(output) = self.variant.output(to) else {
            let known = names(self.variant.outputs.iter().map(|output| &*output.name));
            let shown = weir_pubsub::shown(to);
            return invalid(format!("output `{shown}` does not exist; must be one of: {known}"));
        };
        let message = self.prepare(output, message)?;
        Ok((output, message))
    }

    fn prepare(&mut self, output: usize, message: GuestMessage) -> CallResult<Message> {
        check_phase(&self.call)?;
        check_properties(&message.properties)?;
        let variant = &*self.variant;
        let size_bytes = message.body.len() as u64 + message.properties.iter().map(|(n, v)| (n.len() + v.len()) as u64).sum::<u64>();
        self.call.count_send(variant, size_bytes)?;
        let mut properties = self.call.trace.clone();
        for (name, value) in message.properties {
            properties.set(name, value);
        }
        let route = &variant.outputs[output];
        let index = self.call.sent_counts[output];
        self.call.sent_counts[output] += 1;
        let message = Message {
            id: Some(self.call.id.of_output(&route.name, index)),
            from: Some(self.call.from.clone()),
            content_type: message.content_type.filter(|kind| kind != DEFAULT_CONTENT_TYPE).map(Arc::from),
            properties,
            body: message.body.into(),
            expires_in: None,
        };
        match &route.topic {
            Some(topic) => variant.backend.check(topic, &message).map(|()| message).or_else(|error| invalid(error.to_string())),
            None => Ok(message),
        }
    }

    async fn publish(&mut self, variant: &Variant, output: usize, message: Message) -> CallResult<()> {
        let id = message.id;
        match variant.publish(output, message).await {
            Ok(()) => {
                if let Some(topic) = &variant.outputs[output].topic {
                    message_trace::sent(variant, topic, id, Some(self.call.id));
                }
                self.call.already_sent_count += 1;
                Ok(())
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn answer(&mut self, message: GuestMessage, part: Part) -> CallResult<()> {
        check_phase(&self.call)?;
        let variant = self.variant.clone();
        let output = match (self.call.answer, variant.inputs[self.call.input].reply) {
            (AnswerState::Open | AnswerState::Begun, Some(output)) => output,
            (AnswerState::Ended, _) => return invalid("the request was answered completely: nothing may follow the part marked `last`"),
            _ => return invalid("the current message is not a request: only an input with `reply` in the descriptor can be answered"),
        };
        let mut message = self.prepare(output, message)?;
        message.properties.set(CORRELATION_ID, self.call.correlation.clone().unwrap_or_default());
        if part == Part::More {
            message.properties.set(WEIR_PART, "more");
        }
        self.publish(&variant, output, message).await?;
        self.call.answer = if part == Part::More { AnswerState::Begun } else { AnswerState::Ended };
        Ok(())
    }

    async fn request_all(&mut self, to: &str, message: GuestMessage, timeout_ms: Option<u32>) -> CallResult<Vec<GuestMessage>> {
        let number = self.begin(to, message, timeout_ms).await?;
        let limit_bytes = self.variant.message_limits.max_message_bytes;
        let (mut parts, mut size_bytes) = (Vec::new(), 0);
        loop {
            match self.next_part(number).await {
                Ok(Some(part)) => {
                    size_bytes += part.body.len();
                    if size_bytes > limit_bytes {
                        self.call.begun[number as usize] = BegunRequest::Failed;
                        return invalid(format!("the answer has more than {limit_bytes} bytes: read its parts one by one"));
                    }
                    parts.push(part);
                }
                Ok(None) => return Ok(parts),
                Err(error) => return Err(error),
            }
        }
    }

    async fn begin(&mut self, to: &str, message: GuestMessage, timeout_ms: Option<u32>) -> CallResult<u32> {
        check_phase(&self.call)?;
        check_properties(&message.properties)?;
        let variant = self.variant.clone();
        let Some(request) = variant.requests.iter().position(|request| *request.name == *to) else {
            let known = names(variant.requests.iter().map(|request| &*request.name));
            let shown = weir_pubsub::shown(to);
            return invalid(format!("request `{shown}` does not exist; must be one of: {known}"));
        };
        if self.call.begun.iter().filter(|begun| matches!(begun, BegunRequest::Open(_))).count() >= MAX_BEGUN_COUNT {
            return invalid(format!("{MAX_BEGUN_COUNT} requests are in flight, the maximum: read the answer of one first"));
        }
        self.call.count_send(&variant, message.body.len() as u64)?;
        let message = self.outgoing_request(message);
        let asked = timeout_ms.map_or(variant.requests[request].timeout, |ms| Duration::from_millis(u64::from(ms)));
        let left = self.call.time.left();
        let connected = variant.requester(request).await.map_err(|error| unavailable(&error))?;
        let replies = connected.begin(message, asked.min(left)).await.map_err(|error| unavailable(&error))?;
        self.call.begun.push(BegunRequest::Open(replies));
        Ok((self.call.begun.len() - 1) as u32)
    }

    fn outgoing_request(&mut self, message: GuestMessage) -> Message {
        let number = self.call.requests_count;
        self.call.requests_count += 1;
        let mut properties = self.call.trace.clone();
        for (name, value) in message.properties {
            properties.set(name, value);
        }
        Message {
            id: Some(self.call.id.of_output("weir-request", number)),
            from: Some(self.call.from.clone()),
            content_type: message.content_type.filter(|kind| kind != DEFAULT_CONTENT_TYPE).map(Arc::from),
            properties,
            body: message.body.into(),
            expires_in: None,
        }
    }

    async fn next_part(&mut self, number: u32) -> CallResult<Option<GuestMessage>> {
        check_phase(&self.call)?;
        let Some(slot) = self.call.begun.get_mut(number as usize) else {
            return invalid(format!("request {number} does not exist: numbers are valid until `handle` returns"));
        };
        let replies = match slot {
            BegunRequest::Open(replies) => replies,
            BegunRequest::Complete => return Ok(None),
            BegunRequest::Failed => return invalid(format!("request {number} ended with an error, which was already returned")),
        };
        let next = match replies.next().await {
            Ok(Some(message)) => error_of(&message).map_or_else(|| Ok(Some(shown(message))), Err),
            Ok(None) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        };
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => *slot = BegunRequest::Complete,
            Err(_) => *slot = BegunRequest::Failed,
        }
        next
    }
}

impl Call {
    /// Counts a send against the limits of the deployment.
    fn count_send(&mut self, variant: &Variant, size_bytes: u64) -> CallResult<()> {
        let limits = &variant.limits;
        if self.sends_count >= limits.sends_count {
            return invalid(format!("one call may send {} messages (raise it: weir deploy --limit sends-count=N)", limits.sends_count));
        }
        if self.sends_bytes + size_bytes > limits.sends_bytes {
            return invalid(format!(
                "one call may send {} bytes in total (raise it: weir deploy --limit sends-bytes=N)",
                limits.sends_bytes
            ));
        }
        self.sends_count += 1;
        self.sends_bytes += size_bytes;
        Ok(())
    }
}

fn check_phase(call: &Call) -> CallResult<()> {
    match call.phase {
        Phase::Handle => Ok(()),
        Phase::Setup | Phase::Idle => invalid("messages can be sent only within `handle`"),
    }
}

fn check_properties(properties: &[(String, String)]) -> CallResult<()> {
    if properties.len() > MAX_PROPERTIES_COUNT {
        return invalid(format!("the message has {} properties; the limit is {MAX_PROPERTIES_COUNT}", properties.len()));
    }
    match properties.iter().find(|(name, _)| is_reserved(name)) {
        Some((name, _)) => {
            let shown = weir_pubsub::shown(name);
            invalid(format!("the property `{shown}` is reserved for the host"))
        }
        None => Ok(()),
    }
}

/// The error that the other side reported, if an answer is an error.
fn error_of(message: &Message) -> Option<CallError> {
    let kind = message.properties.get(weir_pubsub::WEIR_ERROR)?;
    let said: Option<serde_json::Value> = serde_json::from_slice(&message.body).ok();
    let said = said.as_ref().and_then(|body| body.pointer("/error/message")?.as_str()).unwrap_or(kind);
    Some(CallError { kind: ErrorKind::Failed, reason: said.to_owned() })
}

fn shown(message: Message) -> GuestMessage {
    let properties: &Properties = &message.properties;
    GuestMessage {
        properties: properties.iter().filter(|(name, _)| !is_reserved(name)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        content_type: message.content_type.as_deref().filter(|kind| *kind != DEFAULT_CONTENT_TYPE).map(str::to_owned),
        body: message.body.into(),
    }
}
