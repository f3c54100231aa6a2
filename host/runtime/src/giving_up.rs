//! Messages that are given up: requests are answered with the error, all others become dead letters.

use weir_config::records::DeadLetter;
use weir_pubsub::{Message, Output, Receipt, Routing};

use crate::failure::History;
use crate::instance::Answered;
use crate::outputs::Charge;
use crate::settler::{Settlement, SettlementKind};
use crate::status::now_ms;
use crate::worker::Worker;

/// Why a message is given up.
pub(crate) struct Lost<'a> {
    pub(crate) error: &'static str,
    pub(crate) reason: &'a str,
    pub(crate) answered: Answered,
}

impl Worker {
    /// Gives a message up: a request is answered with the error, anything else becomes a dead letter.
    pub(crate) async fn give_up(&mut self, receipt: Receipt, message: &Message, lost: Lost<'_>, history: &History) {
        let Lost { error, reason, answered } = lost;
        let program = self.program.clone();
        let input = &program.inputs[self.input];
        tracing::warn!(
            topic = %input.queue.topic(),
            subscription = %input.queue.subscription(),
            processor = &*program.processor,
            variant = &*program.variant,
            flow = &*program.flow,
            component = &*program.deployment,
            digest = %program.component.digest,
            message_id = message.id.map(tracing::field::display),
            attempt = history.attempts_count,
            verdict = error,
            error = reason,
            "message given up"
        );
        let (kind, outputs) = match input.is_request() {
            true => {
                if answered != Answered::InFull {
                    program.answer_with_error(self.input, message, error, reason).await;
                }
                (SettlementKind::Answered, Vec::new())
            }
            false => {
                let letter = DeadLetter {
                    topic: input.queue.topic().to_string(),
                    subscription: input.queue.subscription().to_string(),
                    error: error.to_owned(),
                    reason: reason.to_owned(),
                    attempts_count: history.attempts_count,
                    digest: program.component.digest.to_string(),
                    component: program.deployment.to_string(),
                    time_ms: Some(now_ms()),
                    config_version: Some(self.config.borrow().version),
                    cut: None,
                };
                let message = letter.to_message(message, &program.message_limits);
                (SettlementKind::DeadLetter, vec![Output { topic: self.dead_letters.clone(), message, routing: Routing::Required }])
            }
        };
        let (message_id, in_hand, _charge) = (message.id, self.in_hand.take(), Charge::default());
        self.settle(Settlement { receipt, message_id, outputs, left_count: 0, dropped_count: 0, kind, in_hand, _charge }).await;
    }
}
