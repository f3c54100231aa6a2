//! The gateway's own requests: number by route and status, and the time until the response began.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use tokio::time::Instant;

use super::text::{Family, Text};

/// Upper bounds of the buckets, in seconds: those that OpenTelemetry recommends for HTTP requests.
const BUCKETS_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The label for unknown routes and methods: all are counted as one.
const OTHER: &str = "other";

/// Counts of requests since the gateway's start.
#[derive(Default)]
pub(crate) struct Requests {
    /// By route, so that a request to a known route does not copy its name.
    answered: Mutex<BTreeMap<String, BTreeMap<Key, Durations>>>,
    waiting_count: AtomicU64,
}

/// The labels of requests of a route: their number is limited by methods and error statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    method: &'static str,
    status: u16,
}

#[derive(Default)]
struct Durations {
    /// The count of each bucket, not cumulative.
    counts: [u64; BUCKETS_S.len()],
    count: u64,
    sum: Duration,
}

/// Counts a request as waiting until this is dropped, since its caller may disconnect before the response.
pub(crate) struct Waiting<'a> {
    requests: &'a Requests,
    begun: Instant,
    route: Option<MatchedPath>,
    method: &'static str,
}

fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}

impl Waiting<'_> {
    /// Counts the request with its response. The time ends when the response begins: streams may last for days.
    pub(crate) fn end(self, status: StatusCode) {
        let route = self.route.as_ref().map_or(OTHER, MatchedPath::as_str);
        self.requests.answered(route, Key { method: self.method, status: status.as_u16() }, self.begun.elapsed());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.requests.waiting_count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Requests {
    /// Starts counting a request.
    pub(crate) fn begin(&self, request: &Request) -> Waiting<'_> {
        self.waiting_count.fetch_add(1, Ordering::Relaxed);
        let route = request.extensions().get::<MatchedPath>().cloned();
        Waiting { requests: self, begun: Instant::now(), route, method: known(request.method()) }
    }

    fn answered(&self, route: &str, key: Key, time: Duration) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if !answered.contains_key(route) {
            answered.insert(route.to_owned(), BTreeMap::new());
        }
        let Some(of_route) = answered.get_mut(route) else { return };
        let durations = of_route.entry(key).or_default();
        durations.count += 1;
        durations.sum += time;
        if let Some(at) = BUCKETS_S.iter().position(|end| time.as_secs_f64() <= *end) {
            durations.counts[at] += 1;
        }
    }

    /// Writes the counts.
    pub(crate) fn write(&self, out: &mut Text) {
        let waiting = self.waiting_count.load(Ordering::Relaxed);
        out.gauge("weir_gateway_requests_waiting", "Requests whose answer has not started.").sample(&[], waiting);
        let help = "Time until the answer started, by route, method and status.";
        let mut family = out.histogram("weir_gateway_request_duration_seconds", help);
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        for (route, key, durations) in answered.iter().flat_map(|(route, keys)| keys.iter().map(move |(key, all)| (route, key, all))) {
            let status = key.status.to_string();
            let labels = [("route", route.as_str()), ("method", key.method), ("status", status.as_str())];
            let bucket = |end: &str, count: u64, family: &mut Family<'_>| {
                family.sample_of("_bucket", &[labels[0], labels[1], labels[2], ("le", end)], count);
            };
            let mut below = 0;
            for (end, count) in BUCKETS_S.iter().zip(durations.counts) {
                below += count;
                bucket(&end.to_string(), below, &mut family);
            }
            bucket("+Inf", durations.count, &mut family);
            family.sample_of("_sum", &labels, durations.sum.as_secs_f64());
            family.sample_of("_count", &labels, durations.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_every_larger_bucket() {
        let requests = Requests::default();
        let key = Key { method: "GET", status: 200 };
        for ms in [5, 6, 20_000] {
            requests.answered("/a", key, Duration::from_millis(ms));
        }
        let mut text = Text::default();
        requests.write(&mut text);
        let text = text.finish();
        let labels = "route=\"/a\",method=\"GET\",status=\"200\"";
        for (end, count) in [("0.005", 1), ("0.01", 2), ("1", 2), ("10", 2), ("+Inf", 3)] {
            let line = format!("weir_gateway_request_duration_seconds_bucket{{{labels},le=\"{end}\"}} {count}\n");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(text.contains(&format!("weir_gateway_request_duration_seconds_sum{{{labels}}} 20.011\n")), "{text}");
        assert!(text.contains(&format!("weir_gateway_request_duration_seconds_count{{{labels}}} 3\n")), "{text}");
    }

    #[test]
    fn unknown_methods_are_counted_as_one() {
        assert_eq!(known(&Method::POST), "POST");
        assert_eq!(known(&Method::from_bytes(b"DANCE").unwrap_or_default()), "other");
    }
}
