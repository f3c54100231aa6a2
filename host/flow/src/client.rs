//! The client of the flow service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_config::names::FLOW_SERVICE;
use weir_pubsub::{Backend, Message, Requester, Subscription};

use crate::error::{FlowError, Result};
use crate::plan::SwapRequest;
use crate::protocol::{Backlog, FLOW_ERROR, Orphan, Request, Response, Swapped};

/// Time limit of an operation: a stop waits for processors to detach, and for queues that cannot be deleted yet.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of the flow service. Cloning is cheap; clones share one subscription for answers.
#[derive(Clone)]
pub struct FlowClient {
    requester: Arc<Requester>,
}

/// The arguments of [`FlowClient::start_flow`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartFlow {
    /// The new flow's id.
    pub id: String,
    /// The blueprint.
    pub blueprint: String,
    /// The purpose of the flow, for people.
    pub description: String,
    /// Values by parameter name: strings, numbers or booleans.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Do not keep unread results.
    pub drop_exits: bool,
    /// Refuse to start it if nothing provides one of its processors.
    pub require_readers: bool,
    /// Processors provided by external programs.
    pub external: Vec<String>,
}

/// The result of [`FlowClient::get_flow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowDescription {
    /// The flow's record ([`crate::protocol::FlowRecord`]) as a JSON string.
    pub record: String,
    /// Its purpose, for people.
    pub description: String,
    /// The values that it runs with, by parameter name.
    pub parameters: BTreeMap<String, String>,
}

impl FlowClient {
    /// Connects to the flow service of a topicspace, which need not be running yet.
    ///
    /// # Errors
    /// [`FlowError::Name`] for an invalid topicspace, [`FlowError::Broker`].
    pub async fn connect(backend: Arc<dyn Backend>, topicspace: &str) -> Result<Self> {
        let request = FLOW_SERVICE.requests(topicspace).map_err(FlowError::name("the topicspace"))?;
        let response = FLOW_SERVICE.responses(topicspace).map_err(FlowError::name("the topicspace"))?;
        let reader: Subscription = "flow-client".parse().map_err(FlowError::name("the subscription"))?;
        let requester = Requester::connect(backend, request.topic(), &response, &reader)
            .await
            .map_err(FlowError::broker("connecting to the flow service"))?;
        Ok(FlowClient { requester: Arc::new(requester) })
    }

    /// Sends a request unchanged and returns the answer unchanged, including errors of the service.
    ///
    /// # Errors
    /// [`FlowError::Broker`] if there is no answer within 60 s, [`FlowError::Malformed`].
    ///
    /// # Cancel safety
    /// The operation may still be executed. This holds for every operation.
    pub async fn request_raw(&self, request: &Request) -> Result<Response> {
        let operation = request.operation.as_deref().unwrap_or_default();
        let body = serde_json::to_vec(request).map_err(FlowError::Malformed)?;
        let answer = self
            .requester
            .request(Message::new(body), TIMEOUT)
            .await
            .map_err(FlowError::broker(format!("asking the flow service for {operation}")))?;
        serde_json::from_slice(&answer.body).map_err(FlowError::Malformed)
    }

    async fn request_checked(&self, request: Request) -> Result<Response> {
        let answer = self.request_raw(&request).await?;
        match answer.error {
            Some(error) => Err(FlowError::Answered { kind: error.kind, message: error.message }),
            None => Ok(answer),
        }
    }

    /// The names of all blueprints.
    ///
    /// # Errors
    /// [`FlowError::Answered`], and as [`FlowClient::request_raw`]. This holds for every operation.
    pub async fn list_blueprints(&self) -> Result<Vec<String>> {
        Ok(self.request_checked(Request::new("list-blueprints")).await?.blueprint_names)
    }

    /// A blueprint's JSON text, if it exists.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn get_blueprint(&self, name: &str) -> Result<Option<String>> {
        Ok(self
            .request_checked(Request { blueprint_name: Some(name.to_owned()), ..Request::new("get-blueprint") })
            .await?
            .blueprint_definition)
    }

    /// Stores a blueprint, replacing one of the same name. Running flows are not affected.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`]; a faulty blueprint changes nothing.
    pub async fn put_blueprint(&self, name: &str, definition: &str) -> Result<()> {
        let request = Request {
            blueprint_name: Some(name.to_owned()),
            blueprint_definition: Some(definition.to_owned()),
            ..Request::new("put-blueprint")
        };
        self.request_checked(request).await.map(|_| ())
    }

    /// Deletes a blueprint; succeeds if it does not exist. Running flows are not affected.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn delete_blueprint(&self, name: &str) -> Result<()> {
        self.request_checked(Request { blueprint_name: Some(name.to_owned()), ..Request::new("delete-blueprint") }).await.map(|_| ())
    }

    /// The ids of all flows in any status.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn list_flows(&self) -> Result<Vec<String>> {
        Ok(self.request_checked(Request::new("list-flows")).await?.flow_ids)
    }

    /// One flow.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn get_flow(&self, id: &str) -> Result<FlowDescription> {
        let answer = self.request_checked(Request { flow_id: Some(id.to_owned()), ..Request::new("get-flow") }).await?;
        Ok(FlowDescription {
            record: answer.flow.unwrap_or_default(),
            description: answer.description.unwrap_or_default(),
            parameters: answer.parameters,
        })
    }

    /// Starts a flow: its queues and its processors' entries exist when this returns. Returns the assumptions of the service, for people.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`]; a failed start leaves nothing behind.
    pub async fn start_flow(&self, flow: StartFlow) -> Result<Vec<String>> {
        let request = Request {
            flow_id: Some(flow.id),
            blueprint_name: Some(flow.blueprint),
            description: Some(flow.description),
            parameters: Some(flow.parameters),
            drop_exits: flow.drop_exits,
            require_readers: flow.require_readers,
            external: flow.external,
            ..Request::new("start-flow")
        };
        Ok(self.request_checked(request).await?.notes)
    }

    /// Switches a processor of a running flow to another component. Hosts prepare it next to the old one first; this does not wait for them: their
    /// status shows when they run it, or why they do not.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`]; a component that does not fit changes nothing.
    pub async fn swap(&self, order: SwapRequest) -> Result<Swapped> {
        let request = Request {
            flow_id: Some(order.flow),
            processor: Some(order.processor),
            component: Some(order.component),
            shared: order.shared,
            forget: order.forget,
            ..Request::new("swap")
        };
        let swapped = self.request_checked(request).await?.swapped;
        swapped.ok_or_else(|| FlowError::Answered { kind: FLOW_ERROR.to_owned(), message: "the answer to a swap is empty".to_owned() })
    }

    /// Stops a flow and deletes its queues with all of their messages, except those used by other flows. Returns what could not be deleted yet, for
    /// people.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn stop_flow(&self, id: &str) -> Result<Vec<String>> {
        Ok(self.request_checked(Request { flow_id: Some(id.to_owned()), ..Request::new("stop-flow") }).await?.notes)
    }

    /// Stops a flow if the queues that it does not share are empty, including its exits; otherwise it keeps running, and the error lists the messages
    /// that it holds.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn stop_empty_flow(&self, id: &str) -> Result<()> {
        let (flow_id, backlog) = (Some(id.to_owned()), Some("refuse".into()));
        self.request_checked(Request { flow_id, backlog, ..Request::new("stop-flow") }).await.map(|_| ())
    }

    /// Lists the queues that the service created and that no flow uses any more. With a [`Backlog`] it also deletes those without a consumer: the
    /// empty ones, or with [`Backlog::Discard`] all.
    ///
    /// # Errors
    /// As [`FlowClient::list_blueprints`].
    pub async fn orphans(&self, removed: Option<Backlog>) -> Result<Vec<Orphan>> {
        let operation = if removed.is_some() { "remove-orphans" } else { "list-orphans" };
        let backlog = removed.map(|backlog| serde_json::to_value(backlog).expect("a word always becomes JSON"));
        Ok(self.request_checked(Request { backlog, ..Request::new(operation) }).await?.orphans)
    }
}
