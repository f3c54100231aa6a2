//! `messaging`: the host's checks, in the same order and with the same messages.

use crate::bindings::base::weir::processor::messaging::{CallError, Part};
use crate::testing::Sent;
use crate::testing::instance::{Begun, Instance, Phase, Progress, with};
use crate::testing::limits::{MAX_ANSWER_BYTES, MAX_BEGUN_COUNT, MAX_MESSAGE_BYTES, check_properties, check_sizes};
use crate::testing::wording::{names, shown};
use crate::{ErrorKind, Message};

type CallResult<T> = Result<T, CallError>;

fn invalid(reason: impl Into<String>) -> CallError {
    CallError { kind: ErrorKind::Invalid, reason: reason.into() }
}

/// Accesses the running instance, which must be in `handle`.
fn in_handle<R>(look: impl FnOnce(&mut Instance) -> CallResult<R>) -> CallResult<R> {
    const OUTSIDE: &str = "messages can be sent only within `handle`";
    let looked = with(|instance| match instance.call.phase {
        Phase::Handle => look(instance),
        Phase::Setup => Err(invalid(OUTSIDE)),
    });
    looked.unwrap_or_else(|| Err(invalid(format!("{OUTSIDE}: in a test, call the handler with `weir::testing::kit!().handle(..)`"))))
}

pub(crate) fn send(to: &str, message: &Message) -> CallResult<()> {
    in_handle(|instance| {
        let Some((_, has_topic)) = instance.outputs.iter().find(|(name, _)| name == to) else {
            return Err(no_output(instance, to));
        };
        let has_topic = *has_topic;
        prepare(instance, message, MAX_MESSAGE_BYTES)?;
        if has_topic {
            instance.call.sent.push(Sent { to: to.to_owned(), message: as_received(message) });
        }
        Ok(())
    })
}

fn no_output(instance: &Instance, to: &str) -> CallError {
    let known = names(instance.outputs.iter().map(|(name, _)| name.as_str()));
    let refusal = format!("output `{}` does not exist; must be one of: {known}", shown(to));
    // For a handler that returns a message and means the answer.
    let hint = if to == "output" && instance.call.answer != Progress::None { "; an answer is returned as `weir::Reply(..)`" } else { "" };
    invalid(refusal + hint)
}

fn prepare(instance: &mut Instance, message: &Message, body_limit: usize) -> CallResult<()> {
    check_properties(message).map_err(invalid)?;
    let properties_bytes: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    count(instance, message.body.len() + properties_bytes)?;
    check_sizes(message, body_limit).map_err(invalid)
}

fn count(instance: &mut Instance, size_bytes: usize) -> CallResult<()> {
    let (limits, call) = (&instance.limits, &mut instance.call);
    if call.sends_count >= limits.sends_count {
        return Err(invalid(format!("one call may send {} messages (raise it: weir deploy --limit sends-count=N)", limits.sends_count)));
    }
    if call.sends_bytes + size_bytes as u64 > limits.sends_bytes {
        return Err(invalid(format!(
            "one call may send {} bytes in total (raise it: weir deploy --limit sends-bytes=N)",
            limits.sends_bytes
        )));
    }
    call.sends_count += 1;
    call.sends_bytes += size_bytes as u64;
    Ok(())
}

pub(crate) fn reply(message: &Message, part: Part) -> CallResult<()> {
    in_handle(|instance| {
        match instance.call.answer {
            Progress::Open => {}
            Progress::Ended => return Err(invalid("the request was answered completely: nothing may follow the part marked `last`")),
            Progress::None => {
                return Err(invalid("the current message is not a request: only an input with `reply` in the descriptor can be answered"));
            }
        }
        prepare(instance, message, MAX_ANSWER_BYTES)?;
        instance.call.replies.push(as_received(message));
        if part == Part::Last {
            instance.call.answer = Progress::Ended;
        }
        Ok(())
    })
}

pub(crate) fn request(to: &str, message: &Message, timeout_ms: Option<u32>) -> CallResult<Vec<Message>> {
    let call = begin_request(to, message, timeout_ms)?;
    let (mut parts, mut size_bytes) = (Vec::new(), 0);
    while let Some(part) = next_reply(call)? {
        size_bytes += part.body.len();
        if size_bytes > MAX_MESSAGE_BYTES {
            return Err(invalid(format!("the answer has more than {MAX_MESSAGE_BYTES} bytes: read its parts one by one")));
        }
        parts.push(part);
    }
    Ok(parts)
}

pub(crate) fn begin_request(to: &str, message: &Message, _: Option<u32>) -> CallResult<u32> {
    let service = in_handle(|instance| {
        check_properties(message).map_err(invalid)?;
        if !instance.descriptor.requests.iter().any(|request| request.name == to) {
            let known = names(instance.descriptor.requests.iter().map(|request| request.name.as_str()));
            return Err(invalid(format!("request `{}` does not exist; must be one of: {known}", shown(to))));
        }
        if instance.call.begun.iter().filter(|begun| matches!(begun, Begun::Open(_))).count() >= MAX_BEGUN_COUNT {
            return Err(invalid(format!("{MAX_BEGUN_COUNT} requests are in flight, the maximum: read the answer of one first")));
        }
        count(instance, message.body.len())?;
        check_sizes(message, MAX_MESSAGE_BYTES).map_err(invalid)?;
        instance.call.requests.push(Sent { to: to.to_owned(), message: as_received(message) });
        Ok(instance.services.remove(to))
    })?;
    let Some(mut service) = service else {
        panic!("the handler sends a request to `{to}`, but the test has no answer: add `kit.answer(\"{to}\", |request| ..)`")
    };
    // The service is the test's own code, and may be another kit: nothing is borrowed while it runs.
    let answer = service(as_received(message));
    in_handle(|instance| {
        instance.services.insert(to.to_owned(), service);
        instance.call.begun.push(Begun::Open(answer));
        Ok(u32::try_from(instance.call.begun.len() - 1).unwrap_or(u32::MAX))
    })
}

pub(crate) fn next_reply(call: u32) -> CallResult<Option<Message>> {
    in_handle(|instance| {
        let Some(slot) = instance.call.begun.get_mut(call as usize) else {
            return Err(invalid(format!("request {call} does not exist: numbers are valid until `handle` returns")));
        };
        let answer = match slot {
            Begun::Open(answer) => answer,
            Begun::Complete => return Ok(None),
            Begun::Failed => return Err(invalid(format!("request {call} ended with an error, which was already returned"))),
        };
        match (answer.parts.pop_front(), answer.error.take()) {
            (Some(part), error) => {
                answer.error = error;
                Ok(Some(part))
            }
            (None, None) => {
                *slot = Begun::Complete;
                Ok(None)
            }
            (None, Some(error)) => {
                *slot = Begun::Failed;
                Err(error)
            }
        }
    })
}

/// A message as its receiver gets it: JSON is implied, and of a property given twice the last one counts.
pub(in crate::testing) fn as_received(message: &Message) -> Message {
    let mut received = Message { body: message.body.clone(), content_type: message.content_type.clone(), properties: Vec::new() };
    if received.content_type.as_deref() == Some("application/json") {
        received.content_type = None;
    }
    for (name, value) in &message.properties {
        received = received.with_property(name, value);
    }
    received
}
