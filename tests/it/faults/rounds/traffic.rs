//! Traffic through two gateways while one of them is killed: messages posted, components uploaded and fetched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use weir_tests::wait::{DEADLINE, eventually, pass};

use super::uploads::client;
use crate::faults::load::Load;

const POSTED_AT_ONCE_COUNT: u64 = 10;

/// How often something succeeded.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Through each of the gateways.
    posted_count: [AtomicU64; 2],
    pub(super) uploaded_count: AtomicU64,
    pub(super) fetched_count: AtomicU64,
    is_over: AtomicBool,
}

impl Traffic {
    /// Makes all tasks end.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn counts(&self) -> [u64; 4] {
        let [one, two] = &self.posted_count;
        [one, two, &self.uploaded_count, &self.fetched_count].map(|count| count.load(Ordering::Relaxed))
    }

    /// Waits until all of it succeeds, from now on.
    pub(super) async fn flows(&self) {
        let before = self.counts();
        let flows = || async { self.counts().iter().zip(before).all(|(now, before)| *now > before).then_some(()) };
        eventually(DEADLINE, "posts, uploads and fetches to succeed", flows).await;
    }

    /// Posts numbers into flow `one` through the gateway with this index and URL until stopped. None is posted twice: it may have been
    /// stored.
    pub(super) async fn post(&self, (at, url): (usize, &String), load: &Load) {
        let (http, path) = (client(), format!("{url}/api/v1/weir/flows/one/interfaces/in/messages"));
        while !self.is_over() {
            let numbers = load.reserve(POSTED_AT_ONCE_COUNT);
            let body: String = numbers.clone().map(|number| format!("{number}\n")).collect();
            let request = http.post(&path).header("content-type", "application/x-ndjson").body(body);
            let answer = async { request.send().await?.json::<Value>().await };
            // The first ones are stored, whatever happened to the others.
            let stored_count = answer.await.ok().and_then(|imported| imported["count"].as_u64()).unwrap_or_default();
            numbers.take(usize::try_from(stored_count).unwrap()).for_each(|number| load.note(number));
            self.posted_count[at].fetch_add(stored_count, Ordering::Relaxed);
            pass(Duration::from_millis(20)).await;
        }
    }
}
