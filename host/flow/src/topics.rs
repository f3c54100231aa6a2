//! The topics for requests to the flow service and its answers.

use weir_config::names::{self, FLOW_SERVICE};
use weir_pubsub::{LockName, NameError, Queue, Topic};

use crate::error::{FlowError, Result};

/// The topics and queues of one topicspace's flow service.
#[derive(Clone, Debug)]
pub(crate) struct FlowTopics {
    /// The topic of its answers.
    pub(crate) response: Topic,
    /// The queue of requests.
    pub(crate) requests: Queue,
    /// The queue of messages that cannot be handled.
    pub(crate) dead_letters: Queue,
    /// The topic of hosts' summaries.
    pub(crate) status: Topic,
    /// The lock of the service.
    pub(crate) lock: LockName,
}

impl FlowTopics {
    pub(crate) fn of(topicspace: &str) -> Result<Self> {
        Self::parse(topicspace).map_err(FlowError::name("the topicspace cannot be used"))
    }

    fn parse(topicspace: &str) -> Result<Self, NameError> {
        Ok(FlowTopics {
            status: names::status_summaries(topicspace)?,
            response: FLOW_SERVICE.responses(topicspace)?,
            requests: FLOW_SERVICE.requests(topicspace)?,
            lock: FLOW_SERVICE.lock(topicspace)?,
            dead_letters: names::dead_letters(topicspace)?,
        })
    }
}
