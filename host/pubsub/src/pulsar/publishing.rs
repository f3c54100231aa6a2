//! The connections for publishing. A node that limits the rate of a topic stops reading the connection that publishes on it, so messages of flows
//! have a connection of their own: requests, answers and notifications of the services are not blocked by a rate-limited flow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::connection_settings::ConnectionSettings;
use super::link::Link;
use crate::error::Result;
use crate::topic::{Class, Topic};

/// The maximum number of producers' messages in flight on one of them.
pub(super) const MAX_IN_FLIGHT_COUNT: usize = 2048;

/// One of the connections.
#[derive(Clone)]
pub(super) struct Channel {
    pub(super) link: Arc<Link>,
    /// Permits for producers' messages in flight.
    pub(super) permits: Arc<Semaphore>,
}

impl Channel {
    async fn start(settings: Arc<ConnectionSettings>, purpose: &'static str, patience: Option<Duration>) -> Result<Self> {
        let link = Arc::new(Link::start(settings, purpose));
        link.first(patience).await?;
        Ok(Channel { link, permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT_COUNT)) })
    }
}

/// All connections for publishing.
pub(super) struct Publishing {
    /// For messages of flows.
    flow: Channel,
    /// For requests, answers and notifications.
    pub(super) others: Channel,
}

impl Publishing {
    /// Connects.
    ///
    /// # Errors
    /// As [`Link::first`].
    pub(super) async fn start(settings: &Arc<ConnectionSettings>, patience: Option<Duration>) -> Result<Self> {
        let others = Channel::start(settings.clone(), "publishing", patience).await?;
        Ok(Publishing { flow: Channel::start(settings.clone(), "publishing to flows", patience).await?, others })
    }

    /// The connection for a topic.
    pub(super) fn of(&self, topic: &Topic) -> &Channel {
        if topic.class() == Class::Flow { &self.flow } else { &self.others }
    }

    /// All connections.
    pub(super) fn links(&self) -> [&Arc<Link>; 2] {
        [&self.others.link, &self.flow.link]
    }
}
