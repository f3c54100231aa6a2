//! Classification of a broker's errors. AMQP 0-9-1 has few codes, so the text decides; both were observed on RabbitMQ 3.10 to 4.3.

use lapin::ErrorKind;

use crate::error::{Cause, PubsubError};
use crate::topic::Queue;

/// An error of the broker or the connection in response to a call.
#[derive(Debug)]
pub(super) struct BrokerError {
    pub(super) kind: BrokerErrorKind,
    error: Option<lapin::Error>,
    text: String,
}

/// The kind of error, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerErrorKind {
    /// The queue or exchange does not exist.
    NotFound,
    /// The node of the queue is down.
    NodeDown,
    /// A consumer holds it exclusively, or an exclusive consumer was requested and the queue has others.
    Held,
    /// No permission, a wrong password, no such virtual host.
    Refused,
    /// It exists with other properties.
    Mismatch,
    /// Queues that are neither durable nor exclusive are not permitted on this broker.
    TransientDenied,
    /// The broker did not respond in time.
    TimedOut,
    /// The connection or the channel is lost.
    Lost,
}

impl BrokerError {
    /// No response within the time-out.
    pub(super) fn timed_out(what: &str) -> Self {
        BrokerError { kind: BrokerErrorKind::TimedOut, error: None, text: format!("no answer to {what} in time") }
    }

    /// Whether retries fail until an operator acts: no permission, a wrong password, no such virtual host.
    pub(super) fn is_for_good(&self) -> bool {
        self.kind == BrokerErrorKind::Refused
    }

    /// The largest body that the broker accepts, if the error states that one was larger. The broker closes the channel, with all messages in flight.
    pub(super) fn largest_body_bytes(&self) -> Option<u64> {
        largest_body_bytes(&self.text)
    }

    /// Whether the other side closed the connection before sending anything.
    pub(super) fn is_aborted(&self) -> bool {
        let kind = self.error.as_ref().map(lapin::Error::kind);
        matches!(kind, Some(ErrorKind::IOError(source)) if source.kind() == std::io::ErrorKind::ConnectionAborted)
    }

    /// For display.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Converts it to an error about a queue.
    pub(super) fn about(self, queue: &Queue) -> PubsubError {
        match self.kind {
            BrokerErrorKind::NotFound => PubsubError::no_queue(queue),
            BrokerErrorKind::Held => PubsubError::QueueHeld { queue: queue.clone() },
            BrokerErrorKind::Mismatch => PubsubError::QueueMismatch { queue: queue.clone(), difference: self.mismatch(&queue.wire_name()) },
            _ => self.plain(),
        }
    }

    /// The difference, and how to delete the queue.
    fn mismatch(&self, name: &str) -> String {
        let vhost = self.text.split_once("in vhost '").and_then(|(_, rest)| rest.split_once('\'')).map_or("VHOST", |(vhost, _)| vhost);
        format!("{}; if nothing uses it, delete it: rabbitmqctl delete_queue -p '{vhost}' '{name}'", self.text)
    }

    /// Converts it to an error without a queue.
    pub(super) fn plain(self) -> PubsubError {
        let kind = self.kind;
        let (reason, source) = self.reason_and_cause();
        match kind {
            BrokerErrorKind::Refused | BrokerErrorKind::Mismatch | BrokerErrorKind::TransientDenied => {
                PubsubError::Refused { reason, source }
            }
            _ => PubsubError::Unavailable { reason, source },
        }
    }

    /// Converts it to an error about a message that may have been sent.
    pub(super) fn in_doubt(self) -> PubsubError {
        if self.kind == BrokerErrorKind::Refused {
            return self.plain();
        }
        let (reason, source) = self.reason_and_cause();
        PubsubError::OutcomeUnknown { reason, source }
    }

    /// The reason and its cause, without repetition.
    fn reason_and_cause(self) -> (String, Option<Cause>) {
        match self.error.as_ref().map(lapin::Error::kind) {
            Some(ErrorKind::IOError(source)) => ("the connection failed".to_owned(), Some(Cause::of(source.clone()))),
            _ => (self.text, self.error.map(Cause::of)),
        }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        let (kind, text) = read(&error);
        BrokerError { kind, error: Some(error), text }
    }
}

fn read(error: &lapin::Error) -> (BrokerErrorKind, String) {
    match error.kind() {
        ErrorKind::ProtocolError(refused) => (meaning(refused.get_id(), refused.get_message().as_str()), refused.get_message().to_string()),
        ErrorKind::ChannelsLimitReached => {
            (BrokerErrorKind::Refused, "all channels of the connection are in use: raise `channel_max` of the broker".to_owned())
        }
        ErrorKind::IOError(source) => (BrokerErrorKind::Lost, source.to_string()),
        ErrorKind::MissingHeartbeatError => (BrokerErrorKind::Lost, "the broker no longer answers".to_owned()),
        _ => (BrokerErrorKind::Lost, "the connection to the broker was lost".to_owned()),
    }
}

/// The meaning of a reply code of AMQP 0-9-1 and RabbitMQ's text for it.
fn meaning(code: u16, text: &str) -> BrokerErrorKind {
    match code {
        403 if text.contains("exclusive use") => BrokerErrorKind::Held,
        405 => BrokerErrorKind::Held,
        530 if text.ends_with("is down") => BrokerErrorKind::NodeDown,
        403 | 530 => BrokerErrorKind::Refused,
        404 if text.contains("no queue") || text.contains("no exchange") => BrokerErrorKind::NotFound,
        404 => BrokerErrorKind::NodeDown,
        406 if text.contains("inequivalent arg") || text.contains("invalid arg") => BrokerErrorKind::Mismatch,
        540 => BrokerErrorKind::Mismatch,
        541 if text.contains("transient_nonexcl_queues") => BrokerErrorKind::TransientDenied,
        541 => BrokerErrorKind::NodeDown,
        _ => BrokerErrorKind::Lost,
    }
}

/// Reads `message size 17000000 is larger than configured max size 16777216`; before 4.0 the word `configured` is missing.
fn largest_body_bytes(text: &str) -> Option<u64> {
    let (_, sizes) = text.split_once("message size ")?;
    let (_, largest) = sizes.split_once("max size ")?;
    largest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_text_decides_where_the_code_is_ambiguous() {
        let cases = [
            (404, "NOT_FOUND - no queue 'tg.flow.a.b' in vhost '/'", BrokerErrorKind::NotFound),
            (404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor", BrokerErrorKind::NodeDown),
            (404, "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout", BrokerErrorKind::NodeDown),
            (403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", BrokerErrorKind::Held),
            (403, "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'", BrokerErrorKind::Refused),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'", BrokerErrorKind::Held),
            (406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/'", BrokerErrorKind::Mismatch),
            (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out.", BrokerErrorKind::Lost),
            (530, "NOT_ALLOWED - vhost 'x' not found", BrokerErrorKind::Refused),
            (530, "NOT_ALLOWED - access to vhost 'x' refused for user 'u': vhost 'x' is down", BrokerErrorKind::NodeDown),
            (541, "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.", BrokerErrorKind::TransientDenied),
            (541, "INTERNAL_ERROR - metadata store operation timed out", BrokerErrorKind::NodeDown),
        ];
        for (code, text, kind) in cases {
            assert_eq!(meaning(code, text), kind, "{text}");
        }
    }

    #[test]
    fn the_largest_body_size_is_parsed_from_the_error_text() {
        for word in ["", "configured "] {
            let text = format!("PRECONDITION_FAILED - message size 17000000 is larger than {word}max size 16777216");
            assert_eq!(largest_body_bytes(&text), Some(16_777_216));
        }
        assert_eq!(largest_body_bytes("PRECONDITION_FAILED - inequivalent arg 'max size '"), None);
    }
}
