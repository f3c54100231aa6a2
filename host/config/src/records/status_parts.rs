//! Reports of hosts as messages: one that does not fit into a message is sent in parts, and put together by its readers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::{HostStatus, ProcessorStatus};

/// What the numbers of a part may take more than those of the whole report.
const NUMBERS_BYTES: usize = 64;
/// The most parts of a report that are put together.
const MAX_PARTS_COUNT: u32 = 256;
/// The most hosts whose reports are put together at a time.
const MAX_HOSTS_COUNT: usize = 1_000;

/// A whole report, or a part of one: the parts of a report have the same host and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StatusPart {
    /// Which part it is, from 0.
    #[serde(default)]
    pub part: u32,
    /// How many parts the report has.
    #[serde(default = "one")]
    pub parts_count: u32,
    /// The report with the processors of this part.
    #[serde(flatten)]
    pub status: HostStatus,
}

fn one() -> u32 {
    1
}

impl StatusPart {
    /// Reads a message. Read as one value it would be kept in between, since the fields of the report lie beside those of the part.
    ///
    /// # Errors
    /// When the message is no report.
    pub fn read(message: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Numbers {
            #[serde(default)]
            part: u32,
            #[serde(default = "one")]
            parts_count: u32,
        }
        let Numbers { part, parts_count } = serde_json::from_slice(message)?;
        Ok(StatusPart { part, parts_count, status: serde_json::from_slice(message)? })
    }
}

/// A part as it is written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    part: u32,
    parts_count: u32,
    #[serde(flatten)]
    status: &'a HostStatus,
}

/// The messages of a report, each of at most so many bytes where that is possible.
pub fn status_messages(status: HostStatus, max_bytes: usize) -> Vec<Vec<u8>> {
    let whole = json(&Written { part: 0, parts_count: 1, status: &status });
    if whole.len() <= max_bytes {
        return vec![whole];
    }
    let HostStatus { processors, .. } = status;
    let head = HostStatus { processors: Vec::new(), ..status };
    let head_bytes = json(&Written { part: 0, parts_count: 1, status: &head }).len() + NUMBERS_BYTES;
    let mut parts: Vec<Vec<ProcessorStatus>> = vec![Vec::new()];
    let mut size_bytes = head_bytes;
    for processor in processors {
        let bytes = json(&processor).len() + 1;
        if size_bytes + bytes > max_bytes && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            size_bytes = head_bytes;
        }
        size_bytes += bytes;
        parts.last_mut().expect("there is always one").push(processor);
    }
    let parts_count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let part = |(part, processors): (u32, Vec<ProcessorStatus>)| {
        json(&Written { part, parts_count, status: &HostStatus { processors, ..head.clone() } })
    };
    (0..).zip(parts).map(part).collect()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain fields always become JSON")
}

/// Puts reports together.
#[derive(Debug, Default)]
pub struct StatusParts(BTreeMap<String, Pending>);

#[derive(Debug)]
struct Pending {
    time_ms: u64,
    parts: Vec<Option<Vec<ProcessorStatus>>>,
}

impl StatusParts {
    /// Takes a part; the whole report once all of its parts are there. A part that never comes is given up with the host's next report.
    pub fn take(&mut self, part: StatusPart) -> Option<HostStatus> {
        let StatusPart { part, parts_count, mut status } = part;
        if parts_count <= 1 {
            self.0.remove(&status.host);
            return Some(status);
        }
        if part >= parts_count || parts_count > MAX_PARTS_COUNT {
            return None;
        }
        if self.0.len() >= MAX_HOSTS_COUNT && !self.0.contains_key(&status.host) {
            self.0.clear();
        }
        let empty = || Pending { time_ms: status.time_ms, parts: vec![None; parts_count as usize] };
        let pending = self.0.entry(status.host.clone()).or_insert_with(empty);
        if pending.time_ms != status.time_ms || pending.parts.len() != parts_count as usize {
            *pending = empty();
        }
        pending.parts[part as usize] = Some(std::mem::take(&mut status.processors));
        if pending.parts.iter().any(Option::is_none) {
            return None;
        }
        let parts = self.0.remove(&status.host)?.parts;
        status.processors = parts.into_iter().flatten().flatten().collect();
        Some(status)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(processors_count: usize, time_ms: u64) -> HostStatus {
        let processor = |n: usize| {
            let mut processor = json!({"processor": "p", "variant": n.to_string(), "state": "running", "last-error": "x".repeat(n % 100)});
            for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
                processor[format!("{counter}-count")] = n.into();
            }
            processor["rate-per-1000-s"] = 0.into();
            processor
        };
        let processors: Vec<_> = (0..processors_count).map(processor).collect();
        let status =
            json!({"host": "h", "version": "0", "started-ms": 1, "time-ms": time_ms, "config-version": 2, "processors": processors});
        serde_json::from_value(status).unwrap()
    }

    fn read(message: &[u8]) -> StatusPart {
        StatusPart::read(message).unwrap()
    }

    #[test]
    fn a_report_of_twenty_thousand_processors_is_sent_in_parts_that_fit_and_put_together_again() {
        let whole = status(20_000, 1);
        let messages = status_messages(whole.clone(), 1 << 20);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() <= 1 << 20));
        let mut parts = StatusParts::default();
        let (last, first) = messages.split_first().unwrap();
        assert!(first.iter().all(|message| parts.take(read(message)).is_none()));
        assert_eq!(parts.take(read(last)), Some(whole));
    }

    #[test]
    fn parts_of_a_host_of_many_names_fit_too() {
        let mut whole = status(1_000, 1);
        whole.serves = Some((0..1_000).map(|n| format!("a-processor-{n}")).collect());
        whole.config_problem = Some("x".repeat(1 << 10));
        let messages = status_messages(whole.clone(), 64 << 10);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() <= 64 << 10));
        let mut parts = StatusParts::default();
        assert_eq!(messages.iter().filter_map(|message| parts.take(read(message))).collect::<Vec<_>>(), [whole]);
    }

    #[test]
    fn a_small_report_is_one_message_that_reads_as_before() {
        let whole = status(3, 1);
        let messages = status_messages(whole.clone(), 1 << 20);
        assert_eq!(messages.len(), 1);
        assert_eq!(serde_json::from_slice::<HostStatus>(&messages[0]).unwrap(), whole);
        assert_eq!(read(&serde_json::to_vec(&whole).unwrap()).parts_count, 1);
        assert_eq!(StatusParts::default().take(read(&messages[0])), Some(whole));
    }

    #[test]
    fn parts_of_two_reports_are_not_mixed() {
        let mut parts = StatusParts::default();
        let messages = |time_ms| status_messages(status(100, time_ms), 8 << 10);
        let (old, new) = (messages(1), messages(2));
        assert_eq!(parts.take(read(&old[0])), None);
        let taken: Vec<HostStatus> = new.iter().filter_map(|message| parts.take(read(message))).collect();
        assert_eq!(taken, [status(100, 2)]);
        let wrong = StatusPart { part: 9, parts_count: 3, status: status(1, 3) };
        assert_eq!(parts.take(wrong.clone()), None);
        assert_eq!(parts.take(StatusPart { part: 0, parts_count: u32::MAX, ..wrong }), None);
    }
}
