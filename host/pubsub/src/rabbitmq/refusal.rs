//! What a broker's error means. AMQP 0-9-1 has few codes, so its text decides; both were observed on RabbitMQ 3.10 to 4.3.

use lapin::ErrorKind;

use crate::error::{Cause, PubsubError};
use crate::topic::Queue;

/// What the broker, or the way to it, answered in place of what was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    error: Option<lapin::Error>,
    text: String,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no such queue or exchange.
    NotFound,
    /// The queue's node is away.
    NodeDown,
    /// A consumer holds it exclusively, or an exclusive one asks for a queue that has others.
    Held,
    /// No permission, a wrong password, no such virtual host.
    Refused,
    /// It exists with other properties.
    Mismatch,
    /// It is not empty.
    NotEmpty,
    /// Queues that are neither durable nor exclusive are not permitted on this broker.
    TransientDenied,
    /// No answer came in time.
    TimedOut,
    /// The connection or the channel is lost.
    Lost,
}

impl Refusal {
    /// No answer within the time.
    pub(super) fn timed_out(what: &str) -> Self {
        Refusal { kind: Kind::TimedOut, error: None, text: format!("no answer to {what} in time") }
    }

    /// No permission, a wrong password, no such virtual host.
    pub(super) fn is_for_good(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// For people.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// As an error about a queue.
    pub(super) fn about(self, queue: &Queue) -> PubsubError {
        match self.kind {
            Kind::NotFound => PubsubError::no_queue(queue),
            Kind::Held => PubsubError::QueueHeld { queue: queue.clone() },
            Kind::Mismatch => PubsubError::QueueMismatch { queue: queue.clone(), difference: self.text },
            _ => self.plain(),
        }
    }

    /// As an error about nothing in particular.
    pub(super) fn plain(self) -> PubsubError {
        let source = self.error.map(Cause::of);
        match self.kind {
            Kind::Refused | Kind::Mismatch | Kind::TransientDenied => PubsubError::Refused { reason: self.text, source },
            _ => PubsubError::Unavailable { reason: self.text, source },
        }
    }

    /// As an error about a message that may have been sent.
    pub(super) fn in_doubt(self) -> PubsubError {
        match self.kind {
            Kind::Refused => self.plain(),
            _ => PubsubError::OutcomeUnknown { reason: self.text, source: self.error.map(Cause::of) },
        }
    }
}

impl From<lapin::Error> for Refusal {
    fn from(error: lapin::Error) -> Self {
        let (kind, text) = read(&error);
        Refusal { kind, error: Some(error), text }
    }
}

fn read(error: &lapin::Error) -> (Kind, String) {
    match error.kind() {
        ErrorKind::ProtocolError(refused) => (meaning(refused.get_id(), refused.get_message().as_str()), refused.get_message().to_string()),
        ErrorKind::ChannelsLimitReached => {
            (Kind::Refused, "all channels of the connection are in use: raise `channel_max` of the broker".to_owned())
        }
        ErrorKind::IOError(source) => (Kind::Lost, source.to_string()),
        ErrorKind::MissingHeartbeatError => (Kind::Lost, "the broker no longer answers".to_owned()),
        _ => (Kind::Lost, "the connection to the broker is lost".to_owned()),
    }
}

/// The meaning of a reply code of AMQP 0-9-1 and RabbitMQ's text for it.
fn meaning(code: u16, text: &str) -> Kind {
    match code {
        403 if text.contains("exclusive use") => Kind::Held,
        405 => Kind::Held,
        403 | 530 => Kind::Refused,
        404 if text.contains("no queue") || text.contains("no exchange") => Kind::NotFound,
        404 => Kind::NodeDown,
        406 if text.contains("not empty") => Kind::NotEmpty,
        406 if text.contains("inequivalent arg") || text.contains("invalid arg") => Kind::Mismatch,
        540 => Kind::Mismatch,
        541 if text.contains("transient_nonexcl_queues") => Kind::TransientDenied,
        541 => Kind::NodeDown,
        _ => Kind::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_decides_where_the_code_does_not() {
        let cases = [
            (404, "NOT_FOUND - no queue 'tg.flow.a.b' in vhost '/'", Kind::NotFound),
            (404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor", Kind::NodeDown),
            (404, "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout", Kind::NodeDown),
            (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", Kind::Held),
            (403, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'", Kind::Refused),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'", Kind::Held),
            (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/'", Kind::Mismatch),
            (406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty", Kind::NotEmpty),
            (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out.", Kind::Lost),
            (530, "NOT_ALLOWED - vhost 'x' not found", Kind::Refused),
            (541, "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.", Kind::TransientDenied),
            (541, "INTERNAL_ERROR - metadata store operation timed out", Kind::NodeDown),
        ];
        for (code, text, kind) in cases {
            assert_eq!(meaning(code, text), kind, "{text}");
        }
    }
}
