//! Why a message could not be handled.

use crate::bindings::base::weir::processor::{delivery, messaging};
use crate::time::whole_ms;
use std::fmt;
use std::time::Duration;

pub use delivery::Verdict;
pub use messaging::ErrorKind;

/// The result of handlers: `Result<()>` by default, with [`Failure`] as the error.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a message could not be handled, which decides what happens to it. Messages sent to the flow's queues by the failed attempt are
/// discarded.
///
/// With `?`, any error becomes a *retry*; construct anything else explicitly:
///
/// ```
/// use std::time::Duration;
/// use weir::{Failure, Json, Result};
///
/// fn handle(Json(pages): Json<Vec<String>>) -> Result {
///     if pages.is_empty() {
///         return Err(Failure::reject("field `pages` is empty: nothing to do, now or ever"));
///     }
///     let limit: usize = std::fs::read_to_string("limit")?.trim().parse()?; // what fails here is tried again
///     if pages.len() > limit {
///         return Err(Failure::busy("the service is overloaded").after(Duration::from_secs(30)));
///     }
///     Ok(())
/// }
///
/// weir::processor!(handle);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    verdict: Verdict,
    reason: String,
    delay: Option<Duration>,
    call: Option<ErrorKind>,
}

impl Failure {
    /// A temporary failure: retried as often and with the delays that the deployment sets, then a dead letter.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Retry, reason.to_string())
    }

    /// The message is fine, but something that the processor needs is not ready, for example because of a rate limit. Retried, but counted
    /// neither as an attempt nor as an error.
    pub fn busy(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Busy, reason.to_string())
    }

    /// This message can never succeed: it becomes a dead letter immediately. The reason is for the people who read it there: name the field
    /// and the fix.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Reject, reason.to_string())
    }

    /// The minimum time until the next attempt of a retry or busy, in whole milliseconds (at most 49 days); hosts may limit it further.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What happens to the message.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The reason, for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The minimum time until the next attempt, if it was set.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// The kind of error returned by a call such as [`send`](crate::send) or [`request`](crate::request()); `None` for a failure of another
    /// origin. For processors that can handle it:
    ///
    /// ```
    /// use weir::{ErrorKind, Json, Result};
    ///
    /// fn handle(Json(question): Json<String>) -> Result<Json<String>> {
    ///     match weir::request("model", Json(&question)) {
    ///         Err(failure) if failure.call_error() == Some(ErrorKind::Timeout) => Ok(Json("no answer in time".to_owned())),
    ///         answer => answer,
    ///     }
    /// }
    ///
    /// weir::processor!(handle);
    /// ```
    #[must_use]
    pub fn call_error(&self) -> Option<ErrorKind> {
        self.call
    }

    /// Converts a failure returned across the component boundary.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn returned(failure: delivery::Failure) -> Self {
        let delay = failure.delay_ms.map(|ms| Duration::from_millis(ms.into()));
        Self { delay, ..Self::new(failure.verdict, failure.reason) }
    }

    fn new(verdict: Verdict, reason: String) -> Self {
        Self { verdict, reason, delay: None, call: None }
    }
}

/// The effect of a failed call on the message unless the handler decides otherwise: an error that is permanent is a reject, any other a
/// retry.
pub(crate) fn call_failed(error: messaging::CallError) -> Failure {
    let verdict = if error.kind == ErrorKind::Invalid { Verdict::Reject } else { Verdict::Retry };
    Failure { call: Some(error.kind), ..Failure::new(verdict, error.reason) }
}

/// A retry whose reason is the error with its causes. Because of this, `Failure` itself does not implement `Error`.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        Self::new(Verdict::Retry, reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Retry => "retry",
            Verdict::Busy => "busy",
            Verdict::Reject => "reject",
        };
        write!(f, "{verdict}: {}", self.reason)
    }
}

impl From<Failure> for delivery::Failure {
    fn from(failure: Failure) -> Self {
        let delay_ms = failure.delay.map(whole_ms);
        Self { verdict: failure.verdict, reason: failure.reason, delay_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_is_a_retry_with_its_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the limit cannot be read")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = (|| -> Result { Err(Outer("x".parse::<u8>().unwrap_err()))? })().unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Retry);
        assert_eq!(failure.reason(), "the limit cannot be read: invalid digit found in string");
    }

    #[test]
    fn a_delay_that_is_too_long_is_capped() {
        let failure: delivery::Failure = Failure::busy("wait").after(Duration::MAX).into();
        assert_eq!(failure.delay_ms, Some(u32::MAX));
    }
}
