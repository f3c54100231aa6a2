//! Messages into a flow, and requests with their answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_pubsub::{Message, PubsubError, Replies, WEIR_ERROR};

use super::FlowDirectory;
use super::flow::Interface;
use super::tracked::SharedRequester;
use crate::error::{GatewayError, Result};

/// Sends one message to a `flow` interface; it is durable when this returns.
pub(crate) async fn send(dispatch: &FlowDirectory, interface: &Interface, body: Bytes) -> Result<()> {
    let producer = dispatch.producer(interface).await?;
    match producer.publish_confirmed(Message::new(body)).await {
        Ok(()) => Ok(()),
        Err(error) => Err(not_sent(dispatch, interface, error).await),
    }
}

/// Sends a request to a `request` interface, and returns the body of the answer, or of its last part if it has several. An error from the responder
/// is returned as an answer, too.
pub(crate) async fn ask(dispatch: &FlowDirectory, interface: &Arc<Interface>, body: Bytes, time: Duration) -> Result<Bytes> {
    let mut answer = PendingAnswer::begin(dispatch, interface, body, time).await?;
    let mut last = Bytes::new();
    while let Some(part) = answer.next_part().await? {
        last = part.body;
    }
    Ok(last)
}

/// An answer in progress.
pub(crate) struct PendingAnswer {
    interface: Arc<Interface>,
    replies: Replies,
    /// Receives the parts while it lives.
    _requester: SharedRequester,
}

impl PendingAnswer {
    /// Sends the request. Read the parts of the answer with [`PendingAnswer::next`].
    pub(crate) async fn begin(dispatch: &FlowDirectory, interface: &Arc<Interface>, body: Bytes, time: Duration) -> Result<Self> {
        let requester = dispatch.requester(interface).await?;
        match requester.begin(Message::new(body), time).await {
            Ok(replies) => Ok(PendingAnswer { interface: interface.clone(), replies, _requester: requester }),
            Err(error) => Err(not_sent(dispatch, interface, error).await),
        }
    }

    /// The next part; `None` after the last. A failure of the responder is an error here.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        let part = self.next_part().await?;
        match part.as_ref().and_then(|part| Some((part, part.properties.get(WEIR_ERROR)?))) {
            Some((part, kind)) => {
                let flow = self.interface.flow.clone();
                Err(GatewayError::RequestFailed { flow, kind: kind.to_owned(), said: error_message(part, kind) })
            }
            None => Ok(part),
        }
    }

    async fn next_part(&mut self) -> Result<Option<Message>> {
        let next = tokio::select! {
            biased;
            next = self.replies.next() => next,
            () = self.interface.stopped.cancelled() => return Err(self.interface.gone()),
        };
        next.map_err(|error| {
            let what = format!("interface `{}` of flow `{}` did not answer", self.interface.name, self.interface.flow);
            GatewayError::Broker { what, source: error }
        })
    }
}

/// The message of an error answer.
fn error_message(part: &Message, kind: &str) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(&part.body).ok();
    let text = body.as_ref().and_then(|body| body.pointer("/error/message")?.as_str());
    text.unwrap_or(kind).to_owned()
}

/// Why a message was not sent into a flow.
pub(crate) async fn not_sent(dispatch: &FlowDirectory, interface: &Interface, error: PubsubError) -> GatewayError {
    let what = format!("the message was not sent to interface `{}` of flow `{}`", interface.name, interface.flow);
    match error {
        PubsubError::QueueNotFound { .. } if dispatch.is_stopped(interface).await => interface.gone(),
        PubsubError::QueueNotFound { .. } => {
            let next = format!(
                "take the messages of an output with `weir take`; if it is an input, its queue was deleted: stop and start flow `{}`",
                interface.flow
            );
            interface.wrong(format!("has no queue to send to: {next}"))
        }
        PubsubError::OutcomeUnknown { .. } => GatewayError::Broker { what: what.replace("was not", "may not have been"), source: error },
        error => GatewayError::Broker { what, source: error },
    }
}
