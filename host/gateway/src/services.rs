//! Passes requests and answers between clients and the two services, in the services' own protocols.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_config::names::{CONFIG_SERVICE, FLOW_SERVICE, Service};
use weir_pubsub::{Backend, Message, PubsubError, Requester, Subscription};

use crate::caller::Caller;
use crate::error::{GatewayError, Result};
use crate::scope::{self, Required};
use crate::translate;

/// Connections to both services.
pub(crate) struct Services {
    config: Requester,
    flow: Requester,
    time: Duration,
}

impl Services {
    pub(crate) async fn connect(backend: &Arc<dyn Backend>, topicspace: &str, time: Duration) -> Result<Self> {
        let config = connect(backend, topicspace, CONFIG_SERVICE).await?;
        let flow = connect(backend, topicspace, FLOW_SERVICE).await?;
        Ok(Services { config, flow, time })
    }

    /// Sends a request to the config service for a caller whose scope permits it.
    pub(crate) async fn ask_config(&self, body: &[u8], caller: Caller) -> Result<Bytes> {
        let request = permitted(translate::config_request(body)?, caller, scope::of_config)?;
        ask(&self.config, "the config service", request, self.time).await
    }

    /// Sends a request to the flow service for a caller whose scope permits it.
    pub(crate) async fn ask_flow(&self, body: &[u8], caller: Caller) -> Result<Bytes> {
        let request = permitted(translate::flow_request(body)?, caller, scope::of_flow)?;
        ask(&self.flow, "the flow service", request, self.time).await
    }
}

async fn connect(backend: &Arc<dyn Backend>, topicspace: &str, service: Service) -> Result<Requester> {
    let requests = service.requests(topicspace).map_err(GatewayError::topicspace)?;
    let responses = service.responses(topicspace).map_err(GatewayError::topicspace)?;
    let subscription: Subscription = "gateway".parse().expect("a plain word is a subscription");
    Requester::connect(backend.clone(), requests.topic(), &responses, &subscription)
        .await
        .map_err(GatewayError::broker(format!("the gateway could not connect to the {} service", service.name())))
}

/// The request to send, if its caller may send it.
fn permitted(request: Bytes, caller: Caller, required: fn(&[u8]) -> Required) -> Result<Bytes> {
    if !caller.is_unbounded() {
        let Required { scope, what } = required(&request);
        caller.require(scope, || what)?;
    }
    Ok(request)
}

async fn ask(service: &Requester, name: &'static str, request: Bytes, time: Duration) -> Result<Bytes> {
    let answer = service.request(Message::new(request), time).await.map_err(|error| not_answered(name, error))?;
    translate::answer(&answer.body)
}

/// Why a service did not answer, and whether it may have executed the request.
fn not_answered(name: &'static str, error: PubsubError) -> GatewayError {
    match error {
        PubsubError::TooLarge { actual_bytes, limit_bytes, .. } => {
            GatewayError::RequestTooLarge { service: name, actual_bytes, limit_bytes }
        }
        error @ (PubsubError::TimedOut { .. } | PubsubError::OutcomeUnknown { .. }) => {
            GatewayError::broker(format!("{name} did not answer, so the outcome is unknown"))(error)
        }
        error => GatewayError::broker(format!("{name} could not be asked"))(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_may_have_been_handled_is_not_called_unsent() {
        let unknown = PubsubError::outcome_unknown("no confirmation");
        let told = not_answered("the flow service", unknown).to_string();
        assert_eq!(told, "the flow service did not answer, so the outcome is unknown");
        let told = not_answered("the flow service", PubsubError::unavailable("no broker")).to_string();
        assert_eq!(told, "the flow service could not be asked");
    }
}
