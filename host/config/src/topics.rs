//! Where the config service listens, answers and notifies.

use weir_pubsub::{Class, NameError, Queue, Subscription, Topic};

use crate::error::{ConfigError, Result};
use crate::protocol::{CONFIG_SUBSCRIPTION, CONFIG_TOPIC_NAME};

/// The topics of one topicspace's config service.
#[derive(Clone, Debug)]
pub(crate) struct ConfigTopics {
    pub(crate) request: Topic,
    pub(crate) response: Topic,
    pub(crate) notify: Topic,
    /// The queue of requests.
    pub(crate) queue: Queue,
}

impl ConfigTopics {
    pub(crate) fn of(topicspace: &str) -> Result<Self> {
        Self::parse(topicspace).map_err(|source| ConfigError::Topicspace { topicspace: weir_pubsub::shown(topicspace), source })
    }

    fn parse(topicspace: &str) -> Result<Self, NameError> {
        let topic = |class| Topic::new(class, topicspace, CONFIG_TOPIC_NAME);
        let request = topic(Class::Request)?;
        let subscription: Subscription = CONFIG_SUBSCRIPTION.parse()?;
        let queue = Queue::new(request.clone(), subscription)?;
        Ok(ConfigTopics { request, response: topic(Class::Response)?, notify: topic(Class::Notify)?, queue })
    }
}
