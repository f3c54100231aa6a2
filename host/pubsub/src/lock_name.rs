//! The names of locks.

use std::fmt;

use crate::topic::{Class, NameError, Topic};

/// The name of a lock: a service and a topicspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockName {
    service: Box<str>,
    topicspace: Box<str>,
}

impl LockName {
    /// Creates a name from its parts.
    ///
    /// # Errors
    /// [`NameError`] if a part contains a character that is not allowed in a topic.
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
