//! A running flow: its interfaces, and the producers and requesters for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;
use weir_config::names::exit_subscription;
use weir_flow::protocol::{FlowRecord, Interface as Offered};
use weir_pubsub::{Queue, Topic};

use super::connector::Connector;
use super::tracked::{SharedProducer, SharedRequester};
use crate::error::{GatewayError, Result};

/// One running flow.
pub(crate) struct Flow {
    id: String,
    offered: BTreeMap<String, Offered>,
    /// Unusable interfaces have the reason instead.
    interfaces: BTreeMap<String, Result<Arc<Interface>, String>>,
    stopped: CancellationToken,
    undecided: watch::Sender<bool>,
}

impl Flow {
    pub(crate) fn new(id: &str, record: FlowRecord) -> Self {
        let stopped = CancellationToken::new();
        let (undecided, is_undecided) = watch::channel(false);
        let interface = |(name, offered): (&String, &Offered)| {
            let endpoint = Endpoint::of(offered)?;
            Ok(Arc::new(Interface {
                flow: id.to_owned(),
                name: name.clone(),
                endpoint,
                stopped: stopped.clone(),
                undecided: is_undecided.clone(),
            }))
        };
        let interfaces = record.interfaces.iter().map(|pair| (pair.0.clone(), interface(pair))).collect();
        Flow { id: id.to_owned(), offered: record.interfaces, interfaces, stopped, undecided }
    }

    /// Whether its interfaces match the record, so that its users may continue.
    pub(crate) fn offers(&self, record: &FlowRecord) -> bool {
        self.offered == record.interfaces
    }

    /// One of its interfaces; the errors list the existing ones.
    pub(crate) fn interface(&self, name: &str) -> Result<Arc<Interface>> {
        match self.interfaces.get(name) {
            Some(Ok(interface)) => Ok(interface.clone()),
            Some(Err(problem)) => Err(wrong(&self.id, name, problem.clone())),
            None => {
                let known = self.interfaces.keys().cloned().collect();
                Err(GatewayError::UnknownInterface { flow: self.id.clone(), interface: name.to_owned(), known })
            }
        }
    }

    /// Records whether a stop that may still be refused is in progress: meanwhile its readers continue and its writers wait.
    pub(crate) fn set_undecided(&self, is_undecided: bool) {
        self.undecided.send_replace(is_undecided);
    }

    /// Ends all its users.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }
}

/// One interface of a running flow.
pub(crate) struct Interface {
    /// The flow's id.
    pub(crate) flow: String,
    /// The interface's name.
    pub(crate) name: String,
    /// The traffic of the interface.
    pub(crate) endpoint: Endpoint,
    /// Cancelled when the flow is stopped, not while its stop may still be refused.
    pub(crate) stopped: CancellationToken,
    /// Whether a stop that may still be refused is in progress.
    undecided: watch::Receiver<bool>,
}

/// The traffic of an interface, with its connection.
pub(crate) enum Endpoint {
    /// Messages enter or leave the flow.
    Flow { topic: Topic, producer: OnceCell<SharedProducer> },
    /// Requests and their answers.
    Request { request: Topic, response: Topic, requester: OnceCell<SharedRequester> },
}

impl Endpoint {
    fn of(offered: &Offered) -> Result<Endpoint, String> {
        let topic = |text: &str| text.parse::<Topic>().map_err(|error| format!("has an invalid topic: {error}"));
        Ok(match offered {
            Offered::Flow { flow } => Endpoint::Flow { topic: topic(flow)?, producer: OnceCell::new() },
            Offered::Service { request, response } => {
                Endpoint::Request { request: topic(request)?, response: topic(response)?, requester: OnceCell::new() }
            }
        })
    }
}

impl Interface {
    /// The topic of the interface's messages or requests.
    pub(crate) fn input_topic(&self) -> &Topic {
        let (Endpoint::Flow { topic, .. } | Endpoint::Request { request: topic, .. }) = &self.endpoint;
        topic
    }

    /// The producer for a `flow` interface.
    pub(super) async fn producer(&self, link: &Connector) -> Result<SharedProducer> {
        let Endpoint::Flow { topic, producer } = &self.endpoint else { return Err(self.takes_requests()) };
        producer.get_or_try_init(|| link.producer(topic)).await.cloned()
    }

    /// The requester for a `request` interface.
    pub(super) async fn requester(&self, link: &Connector) -> Result<SharedRequester> {
        let Endpoint::Request { request, response, requester } = &self.endpoint else {
            return Err(self.wrong("accepts messages but does not answer: use `weir send`".to_owned()));
        };
        requester.get_or_try_init(|| link.requester(request, response)).await.cloned()
    }

    /// The queue that keeps the output of this interface until it is read.
    pub(crate) fn exit_queue(&self) -> Result<Queue> {
        let Endpoint::Flow { topic, .. } = &self.endpoint else { return Err(self.takes_requests()) };
        let subscription = exit_subscription(&self.flow, &self.name)
            .map_err(|_| self.wrong("cannot have an exit: its name and the flow's are too long for a queue".to_owned()))?;
        Queue::new(topic.clone(), subscription).map_err(|error| self.wrong(format!("cannot have an exit: {error}")))
    }

    /// Waits while the flow's stop may still be refused: until the flow continues or is stopped.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn decided(&self) {
        if !*self.undecided.borrow() {
            return;
        }
        // An error: the flow is gone.
        let _ = self.undecided.clone().wait_for(|is_undecided| !is_undecided).await;
    }

    /// An error about this interface.
    pub(crate) fn wrong(&self, problem: String) -> GatewayError {
        wrong(&self.flow, &self.name, problem)
    }

    /// The error for users of a stopped flow.
    pub(crate) fn gone(&self) -> GatewayError {
        GatewayError::FlowStopped { flow: self.flow.clone() }
    }

    fn takes_requests(&self) -> GatewayError {
        self.wrong(format!("accepts requests: POST /api/v1/flow/{}/service/{} with the request as its body", self.flow, self.name))
    }
}

fn wrong(flow: &str, interface: &str, problem: String) -> GatewayError {
    GatewayError::WrongInterface { flow: flow.to_owned(), interface: interface.to_owned(), problem }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"blueprint-name": "b", "interfaces": {
        "in": {"flow": "flow:tg:in"},
        "ask": {"request": "request:tg:a", "response": "response:tg:a"},
        "odd": {"flow": "floe:tg:in"}}}"#;

    fn flow() -> Flow {
        Flow::new("f", serde_json::from_str(RECORD).unwrap())
    }

    #[test]
    fn interfaces_are_read_from_the_record() {
        assert!(matches!(&flow().interface("in").unwrap().endpoint, Endpoint::Flow { topic, .. } if topic.to_string() == "flow:tg:in"));
        assert!(matches!(flow().interface("ask").unwrap().endpoint, Endpoint::Request { .. }));
    }

    #[test]
    fn errors_list_the_available_names() {
        let error = |name| flow().interface(name).err().unwrap().to_string();
        assert_eq!(error("out"), "flow `f` has no interface `out`; interfaces: ask, in, odd");
        assert!(error("odd").starts_with("interface `odd` of flow `f` has an invalid topic"), "{}", error("odd"));
    }
}
