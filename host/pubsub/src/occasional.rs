//! Log lines about what others may cause as often as they like: the first at once, then one now and then, with the count.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// How often such a line is logged at most.
const TELLING: Duration = Duration::from_secs(10);

/// Counts what happens, and says when to log it.
#[derive(Debug, Default)]
pub struct Occasional(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    untold_count: u64,
    told_at: Option<Instant>,
}

impl Occasional {
    /// Counts more of it. Returns how many were not logged yet, these included, if it is time for a line: at once, then every 10 s at most.
    pub fn count(&self, more_count: u64) -> Option<u64> {
        let mut counted = lock(&self.0);
        counted.untold_count += more_count;
        let now = Instant::now();
        if counted.told_at.is_some_and(|at| now.duration_since(at) < TELLING) {
            return None;
        }
        counted.told_at = Some(now);
        Some(std::mem::take(&mut counted.untold_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_at_once_and_then_now_and_then_with_the_count() {
        let occasional = Occasional::default();
        assert_eq!((occasional.count(1), occasional.count(1), occasional.count(2)), (Some(1), None, None));
        tokio::time::advance(TELLING).await;
        assert_eq!((occasional.count(1), occasional.count(1)), (Some(4), None));
    }
}
