//! What tests of faults count, and how often they inject faults.

use std::io::Write as _;

/// What happened to messages sent during faults.
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
    /// Prints it in every run of the tests, also if they pass.
    ///
    /// # Panics
    /// If any message is lost.
    pub fn show(self, test: &str) {
        let Tally { sent_count, lost_count, doubled_count } = self;
        // Not captured, unlike the output of macros.
        let line = format!("\n{test}: {sent_count} sent, {lost_count} lost, {doubled_count} duplicated\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        assert_eq!(lost_count, 0, "{test}");
    }
}

/// How often a test injects its faults: `short` times, multiplied by `WEIR_TEST_ROUNDS`.
///
/// # Panics
/// If `WEIR_TEST_ROUNDS` is not a number.
#[must_use]
pub fn rounds(short: u32) -> u32 {
    let factor = std::env::var("WEIR_TEST_ROUNDS").ok().filter(|text| !text.is_empty());
    short * factor.map_or(1, |text| text.parse().expect("WEIR_TEST_ROUNDS is a number"))
}
