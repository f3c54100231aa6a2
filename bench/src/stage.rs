//! What the benches are set up with.

use std::path::Path;
use std::sync::Arc;

use weir_config::records::{ComponentRecord, ComponentRef, Entry};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};

pub(crate) const INPUT: &str = "flow:tg:in:bench";
pub(crate) const OUTPUT: &str = "flow:tg:out:bench";

/// Settings under which nothing is refused or dropped while a bench fills its queues.
pub(crate) fn options() -> EmbeddedOptions {
    EmbeddedOptions { queue_high_bytes: 8 << 30, ..EmbeddedOptions::default() }
}

pub(crate) fn broker(folder: &Path) -> anyhow::Result<Arc<EmbeddedBroker>> {
    Ok(EmbeddedBroker::open(folder, options())?)
}

/// A component as `weir deploy` would record it.
pub(crate) fn deployment(bytes: &[u8]) -> anyhow::Result<(ComponentRef, ComponentRecord)> {
    let inspected = weir_runtime::inspect(bytes)?;
    let reference = ComponentRef { name: "echo".to_owned(), version: "1.0.0".to_owned(), digest: inspected.digest };
    let record = ComponentRecord::from(inspected);
    Ok((reference, record))
}

/// What the flow service would write for the bench's flow.
pub(crate) fn entry() -> Entry {
    let topics = [("input", INPUT), ("output", OUTPUT)].map(|(spec, topic)| (spec.to_owned(), topic.to_owned()));
    Entry { topics: topics.into(), ..Entry::default() }
}
