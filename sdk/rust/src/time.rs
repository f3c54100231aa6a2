//! Times as the contract has them.

use std::time::Duration;

/// A time as the contract counts it; what is longer than it can say is cut.
pub(crate) fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
