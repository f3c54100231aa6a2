//! Reports of hosts as messages: a report that does not fit into one message is sent in parts, which readers reassemble.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum number of parts of a report: the number of messages that the embedded broker buffers for a reader.
const MAX_PARTS_COUNT: usize = 1_024;
/// The maximum number of hosts whose reports are reassembled at a time.
const MAX_HOSTS_COUNT: usize = 1_000;
/// The size of a message apart from its head and the items of its lists: the names of the lists, its part, and the problem of the report.
const FRAME_BYTES: usize = 640;

/// Which part of a report a message is. Absent in a report that is a single message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartNumber {
    /// The same in all parts of a report, and different in the host's next report.
    pub report: u64,
    /// From 0.
    pub number: u32,
    /// The number of parts of the report.
    pub count: u32,
}

/// A list of a report, which may be split between messages: its name, and each item as JSON.
pub(super) struct List {
    name: &'static str,
    items: Vec<Vec<u8>>,
}

impl List {
    pub(super) fn of<T: Serialize>(name: &'static str, items: &[T]) -> Self {
        List { name, items: items.iter().map(json).collect() }
    }
}

/// A report as published.
#[derive(Debug, PartialEq, Eq)]
pub struct ReportMessages {
    /// The bodies, in order.
    pub bodies: Vec<Vec<u8>>,
    /// Why the report is incomplete, with the sizes, if it is. Its readers see it as `report-problem`.
    pub problem: Option<String>,
}

/// Splits a report into messages. Items that would require a larger message are omitted, and the report states how many.
pub(super) fn messages(head: &impl Serialize, lists: Vec<List>, max_bytes: usize) -> ReportMessages {
    let head = json(head);
    let room_bytes = max_bytes.saturating_sub(head.len() + FRAME_BYTES);
    let (parts, omitted) = divided(&lists, room_bytes);
    let problem = (omitted.count > 0).then(|| {
        let (count, largest_bytes) = (omitted.count, omitted.largest_bytes);
        format!(
            "{count} entries of the report are omitted (the largest has {largest_bytes} bytes): a message has at most {max_bytes} bytes, \
                 and a \
             report at most {MAX_PARTS_COUNT} messages; use shorter names, or raise broker.max-message"
        )
    });
    let (report, count) = (rand::random::<u64>(), u32::try_from(parts.len()).expect("there are at most MAX_PARTS_COUNT"));
    let part = |number: u32| (count > 1).then_some(PartNumber { report, number, count });
    let names: Vec<&str> = lists.iter().map(|list| list.name).collect();
    let body = |(number, items): (u32, &Vec<Item>)| written(&head, &names, items, part(number), problem.as_deref());
    ReportMessages { bodies: (0..).zip(&parts).map(body).collect(), problem }
}

/// An item of a list: the list's index, and its JSON.
type Item<'a> = (usize, &'a [u8]);

#[derive(Default)]
struct Omitted {
    count: usize,
    largest_bytes: usize,
}

/// The items of each message, in order.
fn divided(lists: &[List], room_bytes: usize) -> (Vec<Vec<Item<'_>>>, Omitted) {
    let (mut parts, mut omitted) = (vec![Vec::new()], Omitted::default());
    let mut used_bytes = 0;
    let all = lists.iter().enumerate().flat_map(|(list, List { items, .. })| items.iter().map(move |item| (list, &item[..])));
    for (list, item) in all {
        let bytes = item.len() + 1;
        let is_next = used_bytes + bytes > room_bytes;
        if bytes > room_bytes || (is_next && parts.len() == MAX_PARTS_COUNT) {
            omitted.count += 1;
            omitted.largest_bytes = omitted.largest_bytes.max(item.len());
            continue;
        }
        if is_next {
            parts.push(Vec::new());
            used_bytes = 0;
        }
        used_bytes += bytes;
        parts.last_mut().expect("there is always one").push((list, item));
    }
    (parts, omitted)
}

/// A message: the head's fields, then the lists; the first message also has the empty ones.
fn written(head: &[u8], names: &[&str], items: &[Item], part: Option<PartNumber>, problem: Option<&str>) -> Vec<u8> {
    let mut body = Vec::with_capacity(head.len() + FRAME_BYTES + items.iter().map(|(_, item)| item.len() + 1).sum::<usize>());
    body.extend_from_slice(head.strip_suffix(b"}").expect("a head is an object"));
    let mut rest = items;
    for (list, name) in names.iter().enumerate() {
        let (own, later) = rest.split_at(rest.partition_point(|(of, _)| *of == list));
        rest = later;
        if own.is_empty() && part.is_some_and(|part| part.number > 0) {
            continue;
        }
        body.extend_from_slice(format!(",\"{name}\":[").as_bytes());
        for (at, (_, item)) in own.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(item);
        }
        body.push(b']');
    }
    let mut field = |name: &str, value: Vec<u8>| {
        body.extend_from_slice(format!(",\"{name}\":").as_bytes());
        body.extend_from_slice(&value);
    };
    if let Some(part) = part {
        field("part", json(&part));
    }
    if let Some(problem) = problem {
        field("report-problem", json(&problem));
    }
    body.push(b'}');
    body
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain fields always become JSON")
}

/// A received message of a report.
pub trait ReportPart {
    /// The reporting host.
    fn host(&self) -> &str;

    /// Which part it is; `None` for a complete report.
    fn part(&self) -> Option<PartNumber>;

    /// Adds the lists of the next part.
    fn append(&mut self, later: Self);
}

/// Reassembles reports.
#[derive(Debug)]
pub struct ReportParts<T>(BTreeMap<String, Pending<T>>);

#[derive(Debug)]
struct Pending<T> {
    report: u64,
    parts: BTreeMap<u32, T>,
}

impl<T> Default for ReportParts<T> {
    fn default() -> Self {
        ReportParts(BTreeMap::new())
    }
}

impl<T: ReportPart> ReportParts<T> {
    /// Adds a part, and returns the whole report once all of its parts have arrived. An incomplete report is dropped with the host's next report.
    pub fn take(&mut self, read: T) -> Option<T> {
        let Some(PartNumber { report, number, count }) = read.part() else {
            self.0.remove(read.host());
            return Some(read);
        };
        if number >= count || count as usize > MAX_PARTS_COUNT {
            return None;
        }
        if self.0.len() >= MAX_HOSTS_COUNT && !self.0.contains_key(read.host()) {
            self.0.clear();
        }
        let host = read.host().to_owned();
        let pending = self.0.entry(host.clone()).or_insert_with(|| Pending { report, parts: BTreeMap::new() });
        if pending.report != report {
            *pending = Pending { report, parts: BTreeMap::new() };
        }
        pending.parts.insert(number, read);
        if pending.parts.len() < count as usize {
            return None;
        }
        let mut parts = self.0.remove(&host)?.parts.into_values();
        let mut whole = parts.next()?;
        parts.for_each(|part| whole.append(part));
        Some(whole)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::{
        ComponentRef, Digest, HostDetails, HostStatus, HostSummary, ProcessorStatus, ReceivedDetails, Refusal, VariantRefusal,
    };
    use super::*;
    use serde_json::json;

    fn host() -> HostStatus {
        HostStatus { host: "h".into(), version: "0".into(), config_problem: Some("x".repeat(1 << 10)), ..HostStatus::default() }
    }

    fn details(processors_count: usize) -> HostDetails {
        let processor = |n: usize| {
            let mut processor = json!({"processor": "p", "variant": n.to_string(), "state": "running", "last-error": "x".repeat(n % 100)});
            for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
                processor[format!("{counter}-count")] = n.into();
            }
            processor["rate-per-1000-s"] = 0.into();
            serde_json::from_value(processor).unwrap()
        };
        HostDetails { status: host(), serves: None, processors: (0..processors_count).map(processor).collect() }
    }

    /// A summary with `count` refusals and `count` names of 200 bytes.
    fn summary(count: usize) -> HostSummary {
        let name = |n: usize| format!("{n:0>200}");
        let component = ComponentRef { name: name(0), version: "1.0.0".into(), digest: Digest::from_sha256([1; 32]) };
        let refused = Refusal { component, problem: "no".into(), permanent: true, time_ms: 1 };
        let refusal = |n: usize| VariantRefusal { processor: name(n), variant: "v".into(), refused: refused.clone() };
        HostSummary {
            status: host(),
            serves: Some((0..count).map(name).collect()),
            refusals: (0..count).map(refusal).collect(),
            processors: (0..count).map(name).collect(),
            ..HostSummary::default()
        }
    }

    fn of(mut read: ReceivedDetails) -> HostDetails {
        let processors: Vec<ProcessorStatus> = serde_json::from_str(read.processors().get()).unwrap();
        HostDetails { status: read.status, serves: read.serves, processors }
    }

    fn reassemble<T: ReportPart>(bodies: &[Vec<u8>], read: impl Fn(&[u8]) -> T) -> Vec<T> {
        let mut parts = ReportParts::default();
        let whole: Vec<T> = bodies.iter().filter_map(|body| parts.take(read(body))).collect();
        assert!(parts.0.is_empty());
        whole
    }

    #[test]
    fn details_of_twenty_thousand_processors_are_sent_in_fitting_parts_and_reassembled() {
        let whole = details(20_000);
        let ReportMessages { bodies, problem } = whole.messages(&[7], 1 << 20);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= 1 << 20) && problem.is_none());
        let mut read = reassemble(&bodies, |body| ReceivedDetails::read(body).unwrap());
        assert_eq!(read[0].answers, [7]);
        assert_eq!(read.drain(..).map(of).collect::<Vec<_>>(), [whole]);
    }

    #[test]
    fn a_summary_with_twenty_thousand_refusals_and_long_names_is_reassembled() {
        let whole = summary(20_000);
        let ReportMessages { bodies, problem } = whole.clone().messages(64 << 10);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= 64 << 10) && problem.is_none());
        let read = reassemble(&bodies, |body| serde_json::from_slice::<HostSummary>(body).unwrap());
        let [read]: [HostSummary; 1] = read.try_into().unwrap();
        assert_eq!(HostSummary { part: None, ..read }, whole);
    }

    #[test]
    fn a_small_report_is_one_message_with_its_empty_lists() {
        let (small, none) = (details(3), details(0));
        for whole in [small, none] {
            let bodies = whole.messages(&[], 1 << 20).bodies;
            assert_eq!(bodies.len(), 1);
            assert!(serde_json::from_slice::<serde_json::Value>(&bodies[0]).unwrap()["processors"].is_array());
            let read = reassemble(&bodies, |body| ReceivedDetails::read(body).unwrap());
            assert_eq!(read.into_iter().map(of).collect::<Vec<_>>(), [whole]);
        }
        let serves_none = HostSummary { status: host(), serves: Some(Vec::new()), ..HostSummary::default() };
        let bodies = serves_none.clone().messages(1 << 20).bodies;
        assert_eq!(serde_json::from_slice::<HostSummary>(&bodies[0]).unwrap(), serves_none);
    }

    #[test]
    fn items_too_large_for_any_message_are_omitted_and_reported() {
        let mut whole = details(30);
        whole.processors[7].variant = "x".repeat(8 << 10);
        let ReportMessages { bodies, problem } = whole.messages(&[], 4 << 10);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= 4 << 10));
        let problem = problem.unwrap();
        assert!(problem.starts_with("1 entries of the report are omitted (the largest has 84"), "{problem}");
        let read = reassemble(&bodies, |body| ReceivedDetails::read(body).unwrap());
        whole.processors.remove(7);
        whole.status.report_problem = Some(problem);
        assert_eq!(read.into_iter().map(of).collect::<Vec<_>>(), [whole]);
    }

    #[test]
    fn a_report_with_too_many_parts_is_truncated_and_marked() {
        let ReportMessages { bodies, problem } = summary(2_000).messages(2_400);
        assert_eq!(bodies.len(), MAX_PARTS_COUNT);
        assert!(problem.unwrap().contains("a report at most 1024 messages"));
        assert_eq!(reassemble(&bodies, |body| serde_json::from_slice::<HostSummary>(body).unwrap()).len(), 1);
    }

    #[test]
    fn parts_of_two_reports_are_not_mixed() {
        let bodies = || details(100).messages(&[], 8 << 10).bodies;
        let (old, new) = (bodies(), bodies());
        let mut parts = ReportParts::default();
        let mut take = |body: &[u8]| parts.take(ReceivedDetails::read(body).unwrap());
        assert!(take(&old[0]).is_none());
        let taken: Vec<ReceivedDetails> = new.iter().filter_map(|body| take(body)).collect();
        assert_eq!(taken.into_iter().map(of).collect::<Vec<_>>(), [details(100)]);
        for part in [json!({"report": 1, "number": 9, "count": 3}), json!({"report": 1, "number": 0, "count": u32::MAX})] {
            let wrong =
                json!({"host": "h", "version": "0", "started-ms": 1, "time-ms": 1, "config-version": 1, "part": part, "processors": []});
            assert!(take(wrong.to_string().as_bytes()).is_none());
        }
    }

    #[test]
    fn details_without_an_array_of_processors_are_not_read() {
        for processors in ["{}", "null", "3"] {
            let body = format!(
                r#"{{"host": "h", "version": "0", "started-ms": 1, "time-ms": 1, "config-version": 1, "processors": {processors}}}"#
            );
            assert!(ReceivedDetails::read(body.as_bytes()).is_err(), "{processors}");
        }
    }
}
