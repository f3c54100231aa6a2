//! Giving up messages: requests are answered with the error, all others become dead letters.

use weir_config::records::DeadLetter;
use weir_pubsub::{Message, Output, Routing, Topic};

use crate::outcome::Answered;
use crate::routes::Input;
use crate::settler::SettlementKind;
use crate::status::now_ms;
use crate::variant::Variant;

/// Why a message is given up.
pub(crate) struct GiveUpReason<'a> {
    pub(crate) error: &'static str,
    pub(crate) reason: &'a str,
    pub(crate) answered: Answered,
    pub(crate) attempts_count: u32,
}

impl GiveUpReason<'_> {
    /// Answers a request with the error, or makes a dead letter of any other message; returns what to settle the message with.
    pub(crate) async fn give_up(
        &self,
        variant: &Variant,
        input: usize,
        message: &Message,
        config_version: u64,
        dead_letters: &Topic,
    ) -> (SettlementKind, Vec<Output>) {
        let from = &variant.inputs[input];
        self.log(variant, from, message);
        if from.is_request() {
            if self.answered != Answered::InFull {
                variant.answer_with_error(input, message, self.error, self.reason).await;
            }
            return (SettlementKind::Answered, Vec::new());
        }
        let letter = DeadLetter {
            topic: from.queue.topic().to_string(),
            subscription: from.queue.subscription().to_string(),
            error: self.error.to_owned(),
            reason: self.reason.to_owned(),
            attempts_count: self.attempts_count,
            digest: variant.component.digest.to_string(),
            component: variant.deployment.to_string(),
            time_ms: Some(now_ms()),
            config_version: Some(config_version),
            cut: None,
        };
        let message = letter.to_message(message, &variant.message_limits);
        (SettlementKind::DeadLetter, vec![Output { topic: dead_letters.clone(), message, routing: Routing::Required }])
    }

    fn log(&self, variant: &Variant, from: &Input, message: &Message) {
        tracing::warn!(
            topic = %from.queue.topic(),
            subscription = %from.queue.subscription(),
            processor = &*variant.processor,
            variant = &*variant.name,
            flow = &*variant.flow,
            component = &*variant.deployment,
            digest = %variant.component.digest,
            message_id = message.id.map(tracing::field::display),
            attempt = self.attempts_count,
            verdict = self.error,
            error = self.reason,
            "message given up"
        );
    }
}
