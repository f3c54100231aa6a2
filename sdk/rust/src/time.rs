//! Times in the units of the contract.

use std::time::Duration;

/// A time in whole milliseconds, saturated at the maximum of the contract.
pub(crate) fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
