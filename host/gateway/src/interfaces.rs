//! What a running flow offers to the outside, read from its record.

use weir_config::ConfigClient;
use weir_flow::protocol::{FLOW_TYPE, FlowRecord, Interface as Offered};
use weir_pubsub::{Queue, Subscription, Topic};

use crate::error::{GatewayError, Result};

/// One interface of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Messages go in, or come out.
    Flow(Topic),
    /// Requests go in and their answers come back.
    Request {
        /// Where requests go.
        request: Topic,
        /// Where answers come from.
        response: Topic,
    },
}

/// A flow's interface with its names.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The flow's id.
    pub(crate) flow: String,
    /// The interface's name.
    pub(crate) name: String,
    /// Its topics.
    pub(crate) interface: Interface,
}

impl Found {
    /// Finds an interface of a running flow; the errors name what there is.
    pub(crate) async fn find(config: &ConfigClient, flow: &str, name: &str) -> Result<Found> {
        let Some(record) = config.get_one(FLOW_TYPE, flow).await.map_err(GatewayError::Config)? else {
            let known = config.list(FLOW_TYPE).await.map_err(GatewayError::Config)?;
            return Err(GatewayError::UnknownFlow { flow: flow.to_owned(), known: known.value });
        };
        let interface = of_record(flow, name, &record)?;
        Ok(Found { flow: flow.to_owned(), name: name.to_owned(), interface })
    }

    /// The topic of a `flow` interface.
    pub(crate) fn flow_topic(&self) -> Result<&Topic> {
        match &self.interface {
            Interface::Flow(topic) => Ok(topic),
            Interface::Request { .. } => Err(self.wrong(format!(
                "takes requests and answers them: POST /api/v1/flow/{}/service/{} with the request as its body",
                self.flow, self.name
            ))),
        }
    }

    /// The queue that keeps what leaves by this interface until somebody reads it.
    pub(crate) fn exit_queue(&self) -> Result<Queue> {
        let topic = self.flow_topic()?;
        let subscription = exit_subscription(&self.flow, &self.name)
            .ok_or_else(|| self.wrong("cannot have an exit: its name and the flow's are too long for a queue".to_owned()))?;
        Queue::new(topic.clone(), subscription).map_err(|error| self.wrong(format!("cannot have an exit: {error}")))
    }

    /// An error about this interface.
    pub(crate) fn wrong(&self, problem: String) -> GatewayError {
        GatewayError::WrongInterface { flow: self.flow.clone(), interface: self.name.clone(), problem }
    }
}

fn exit_subscription(flow: &str, interface: &str) -> Option<Subscription> {
    format!("gateway--{flow}--{interface}").parse().ok()
}

fn of_record(flow: &str, name: &str, record: &str) -> Result<Interface> {
    let mut record: FlowRecord =
        serde_json::from_str(record).map_err(|source| GatewayError::NotJson { what: format!("the record of flow `{flow}`"), source })?;
    let Some(offered) = record.interfaces.remove(name) else {
        let known = record.interfaces.into_keys().collect();
        return Err(GatewayError::UnknownInterface { flow: flow.to_owned(), interface: name.to_owned(), known });
    };
    let topic = |text: &str| {
        text.parse::<Topic>().map_err(|error| GatewayError::WrongInterface {
            flow: flow.to_owned(),
            interface: name.to_owned(),
            problem: format!("has a topic that is none: {error}"),
        })
    };
    Ok(match offered {
        Offered::Flow { flow } => Interface::Flow(topic(&flow)?),
        Offered::Service { request, response } => Interface::Request { request: topic(&request)?, response: topic(&response)? },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"blueprint-name": "b", "interfaces": {
        "in": {"flow": "flow:tg:in"},
        "ask": {"request": "request:tg:a", "response": "response:tg:a"},
        "odd": {"flow": "floe:tg:in"}}}"#;

    #[test]
    fn interfaces_are_read_from_the_record() {
        assert_eq!(of_record("f", "in", RECORD).unwrap(), Interface::Flow("flow:tg:in".parse().unwrap()));
        assert!(matches!(of_record("f", "ask", RECORD).unwrap(), Interface::Request { .. }));
    }

    #[test]
    fn errors_name_what_there_is() {
        let error = |name| of_record("f", name, RECORD).unwrap_err().to_string();
        assert_eq!(error("out"), "flow `f` has no interface `out`; interfaces: ask, in, odd");
        assert!(error("odd").starts_with("interface `odd` of flow `f` has a topic that is none"), "{}", error("odd"));
    }
}
