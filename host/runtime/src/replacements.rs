//! Detects components whose instances are replaced too often because of their memory: each message then costs a new instance.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::status::{ErrorSource, VariantStatus};
use crate::variant::Variant;

/// An instance that handled fewer messages than this was replaced early.
const MIN_CALLS_COUNT: u32 = 100;
/// This many consecutive early replacements are not a coincidence of large messages.
const CONSECUTIVE_COUNT: u32 = 3;
/// The shortest time between two reports.
const PAUSE: Duration = Duration::from_secs(600);

/// The replacements of one program's instances.
#[derive(Debug, Default)]
pub(crate) struct Replacements(Mutex<ReplacementRate>);

#[derive(Debug, Default)]
struct ReplacementRate {
    early_count: u32,
    reported: Option<Instant>,
}

impl Replacements {
    /// Records that an instance was replaced because of its memory after so many messages, and reports a component whose instances handle
    /// only a few. `figures` describe its memory, for display.
    pub(crate) fn note(&self, variant: &Variant, calls_count: u32, figures: &str, status: &VariantStatus) {
        if calls_count >= MIN_CALLS_COUNT {
            status.end_errors(|of| *of == ErrorSource::Memory);
        }
        if !self.is_due(calls_count, Instant::now()) {
            return;
        }
        tracing::warn!(
            processor = &*variant.processor,
            variant = &*variant.name,
            component = &*variant.deployment,
            calls_count,
            memory = figures,
            "instances replaced after few messages because of memory use"
        );
        let text = format!(
            "slow: each instance is replaced after few messages, the last one after {calls_count} ({figures}): deploy a version with a higher \
             limit, or keep less memory between messages"
        );
        status.note_error(ErrorSource::Memory, &text);
    }

    /// Counts a replacement. `true`: report it now.
    fn is_due(&self, calls_count: u32, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls_count >= MIN_CALLS_COUNT {
            state.early_count = 0;
            return false;
        }
        state.early_count = state.early_count.saturating_add(1);
        let is_due = state.reported.is_none_or(|at| now.duration_since(at) >= PAUSE);
        let reports = is_due && state.early_count >= CONSECUTIVE_COUNT;
        if reports {
            state.reported = Some(now);
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_early_replacements_are_reported_once_in_ten_minutes() {
        let (replacements, start) = (Replacements::default(), Instant::now());
        let notes = |calls_count: u32, after_s: u64| replacements.is_due(calls_count, start + Duration::from_secs(after_s));
        assert_eq!([notes(1, 0), notes(1, 0), notes(MIN_CALLS_COUNT, 1), notes(1, 1), notes(99, 1)], [false; 5]);
        assert!(notes(1, 2));
        assert!(!notes(1, 3) && !notes(1, 601));
        assert!(notes(1, 602));
    }
}
