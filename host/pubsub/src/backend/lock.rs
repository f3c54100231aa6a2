//! Locks: one process at a time does what only one may do.

use std::fmt;

use async_trait::async_trait;

use crate::error::PubsubError;
use crate::topic::{Class, NameError, Topic};

/// The name of a lock: a service, in a topicspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockName {
    service: Box<str>,
    topicspace: Box<str>,
}

impl LockName {
    /// Makes a name of its parts.
    ///
    /// # Errors
    /// What cannot be part of a topic cannot be part of it.
    pub fn new(service: &str, topicspace: &str) -> Result<Self, NameError> {
        Topic::new(Class::Request, topicspace, service)?;
        Ok(LockName { service: service.into(), topicspace: topicspace.into() })
    }

    /// The service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The topicspace.
    pub fn topicspace(&self) -> &str {
        &self.topicspace
    }

    /// Its name on brokers: `weir.lock.SERVICE.TOPICSPACE`.
    pub fn wire_name(&self) -> String {
        format!("weir.lock.{}.{}", self.service, self.topicspace)
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wire_name())
    }
}

/// A lock that is held, until it is dropped or lost.
///
/// Dropping it releases it, which may take the broker a moment. It is no fence: a holder that stands still may lose it and do more before it
/// notices. Writes that must not happen then need a condition of their own.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Waits until the lock is lost, and returns the reason: the connection was lost, the backend was closed, or the broker ended it. From then
    /// on others may hold it. Every later call returns the reason again.
    ///
    /// # Cancel safety
    /// Yes.
    async fn lost(&mut self) -> PubsubError;
}

/// The holder of a lock, as far as the broker shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Which process it is, for people; `None` where the broker does not show it.
    pub process: Option<String>,
}
