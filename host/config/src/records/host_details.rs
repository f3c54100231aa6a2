//! The details that a host publishes on `response:TOPICSPACE:weir-status` on request on `notify:TOPICSPACE:weir-ask`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::report_parts::{List, PartNumber, ReportMessages, ReportPart, messages};
use super::status::{HostStatus, ProcessorStatus};

/// A request for the details of every host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailsRequest {
    /// A number that is repeated in the details sent in response.
    pub id: u64,
}

/// The complete report of a host: each of its variants, at the time of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostDetails {
    /// The host.
    pub status: HostStatus,
    /// The processors that it is limited to; empty if it serves every entry with a component.
    pub serves: Option<Vec<String>>,
    /// Its variants, by processor and variant.
    pub processors: Vec<ProcessorStatus>,
}

impl HostDetails {
    /// The messages that answer these requests, each of at most this many bytes.
    pub fn messages(&self, answers: &[u64], max_bytes: usize) -> ReportMessages {
        #[derive(Serialize)]
        struct DetailsHeader<'a> {
            #[serde(flatten)]
            status: &'a HostStatus,
            answers: &'a [u64],
        }
        let lists = [Some(List::of("processors", &self.processors)), self.serves.as_ref().map(|serves| List::of("serves", serves))];
        messages(&DetailsHeader { status: &self.status, answers }, lists.into_iter().flatten().collect(), max_bytes)
    }
}

/// Details as received. The processors stay JSON: a reader that only forwards them need not parse their fields.
#[derive(Debug, Deserialize)]
pub struct ReceivedDetails {
    /// The host.
    #[serde(flatten)]
    pub status: HostStatus,
    /// The processors that it is limited to.
    #[serde(default)]
    pub serves: Option<Vec<String>>,
    /// The ids of the requests that they answer.
    #[serde(default)]
    pub answers: Vec<u64>,
    /// A JSON array of [`ProcessorStatus`] for each message.
    #[serde(default, deserialize_with = "one", rename = "processors")]
    arrays: Vec<Box<RawValue>>,
    #[serde(default)]
    part: Option<PartNumber>,
}

fn one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    Ok(vec![Box::deserialize(deserializer)?])
}

impl ReceivedDetails {
    /// Reads a message.
    ///
    /// # Errors
    /// If it is not a report, or its processors are not an array.
    pub fn read(message: &[u8]) -> serde_json::Result<Self> {
        let read: Self = serde_json::from_slice(message)?;
        match read.arrays.iter().all(|array| array.get().starts_with('[')) {
            true => Ok(read),
            false => Err(serde::de::Error::custom("`processors` is not an array")),
        }
    }

    /// The processors as one JSON array.
    pub fn processors(&mut self) -> Box<RawValue> {
        if let [one] = &mut self.arrays[..] {
            return std::mem::take(one);
        }
        let inner = self.arrays.iter().filter_map(|array| Some(array.get().strip_prefix('[')?.strip_suffix(']')?.trim()));
        let joined = format!("[{}]", inner.filter(|items| !items.is_empty()).collect::<Vec<_>>().join(","));
        RawValue::from_string(joined).expect("arrays of JSON values, joined by commas, are an array")
    }
}

impl ReportPart for ReceivedDetails {
    fn host(&self) -> &str {
        &self.status.host
    }

    fn part(&self) -> Option<PartNumber> {
        self.part
    }

    fn append(&mut self, later: Self) {
        self.arrays.extend(later.arrays);
        if let Some(names) = later.serves {
            self.serves.get_or_insert_default().extend(names);
        }
    }
}
