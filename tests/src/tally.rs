//! What tests of faults count, and how often they make their faults.

use std::io::Write as _;

/// What became of messages that were sent during faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many were confirmed.
    pub sent_count: u64,
    /// How many of those did not arrive.
    pub lost_count: u64,
    /// How many arrived more than once.
    pub doubled_count: u64,
}

impl Tally {
    /// Shows it in every run of the tests, also of those that pass.
    ///
    /// # Panics
    /// If any message is lost.
    pub fn show(self, test: &str) {
        let Tally { sent_count, lost_count, doubled_count } = self;
        // Not captured, as what is printed by macros.
        let line = format!("\n{test}: {sent_count} sent, {lost_count} lost, {doubled_count} duplicated\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        assert_eq!(lost_count, 0, "{test}");
    }
}

/// How often a test makes its faults: `short` times, or `WEIR_TEST_ROUNDS` times as often.
///
/// # Panics
/// If `WEIR_TEST_ROUNDS` is not a number.
#[must_use]
pub fn rounds(short: u32) -> u32 {
    let factor = std::env::var("WEIR_TEST_ROUNDS").ok().filter(|text| !text.is_empty());
    short * factor.map_or(1, |text| text.parse().expect("WEIR_TEST_ROUNDS is a number"))
}
