//! Where the flow service listens and answers.

use weir_config::protocol::CONFIG_TOPIC_NAME;
use weir_config::records::{DEAD_LETTERS_SUBSCRIPTION, DEAD_LETTERS_TOPIC_NAME, STATUS_TOPIC_NAME};
use weir_pubsub::{Class, NameError, Queue, Topic};

use crate::error::{FlowError, Result};
use crate::protocol::{FLOW_SUBSCRIPTION, FLOW_TOPIC_NAME};

/// Whether a topic carries the requests to a config or flow service, in any topicspace. Only the service itself may read them: each other
/// subscription gets a copy of every request.
pub(crate) fn is_of_service(topic: &Topic) -> bool {
    topic.class() == Class::Request && [CONFIG_TOPIC_NAME, FLOW_TOPIC_NAME].contains(&topic.name())
}

/// The topics and queues of one topicspace's flow service.
#[derive(Clone, Debug)]
pub(crate) struct FlowTopics {
    /// Where it answers.
    pub(crate) response: Topic,
    /// The queue of requests.
    pub(crate) requests: Queue,
    /// The queue of messages that cannot be handled.
    pub(crate) dead_letters: Queue,
    /// Where hosts publish their summaries.
    pub(crate) status: Topic,
}

impl FlowTopics {
    pub(crate) fn of(topicspace: &str) -> Result<Self> {
        Self::parse(topicspace).map_err(FlowError::name("the topicspace cannot be used"))
    }

    fn parse(topicspace: &str) -> Result<Self, NameError> {
        let dead_letters = Topic::new(Class::Flow, topicspace, DEAD_LETTERS_TOPIC_NAME)?;
        Ok(FlowTopics {
            status: Topic::new(Class::Notify, topicspace, STATUS_TOPIC_NAME)?,
            response: Topic::new(Class::Response, topicspace, FLOW_TOPIC_NAME)?,
            requests: Queue::new(Topic::new(Class::Request, topicspace, FLOW_TOPIC_NAME)?, FLOW_SUBSCRIPTION.parse()?)?,
            dead_letters: Queue::new(dead_letters, DEAD_LETTERS_SUBSCRIPTION.parse()?)?,
        })
    }
}
