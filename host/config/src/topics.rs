//! The topics for requests to the config service, its answers and its notifies.

use weir_pubsub::{LockName, NameError, Queue, Topic};

use crate::error::{ConfigError, Result};
use crate::names::CONFIG_SERVICE;

/// The topics of one topicspace's config service.
#[derive(Clone, Debug)]
pub(crate) struct ConfigTopics {
    pub(crate) request: Topic,
    pub(crate) response: Topic,
    pub(crate) notify: Topic,
    /// The queue of requests.
    pub(crate) queue: Queue,
    /// The lock of the service.
    pub(crate) lock: LockName,
}

impl ConfigTopics {
    pub(crate) fn of(topicspace: &str) -> Result<Self> {
        Self::parse(topicspace).map_err(|source| ConfigError::Topicspace { topicspace: weir_pubsub::shown(topicspace), source })
    }

    fn parse(topicspace: &str) -> Result<Self, NameError> {
        let queue = CONFIG_SERVICE.requests(topicspace)?;
        let (response, notify) = (CONFIG_SERVICE.responses(topicspace)?, CONFIG_SERVICE.notifies(topicspace)?);
        let lock = CONFIG_SERVICE.lock(topicspace)?;
        Ok(ConfigTopics { request: queue.topic().clone(), response, notify, queue, lock })
    }
}
