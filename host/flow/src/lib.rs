//! Blueprints, flows and the queues that they use.
//!
//! A flow service owns every queue that flows use. It reads and writes configuration only through the config service's client, and controls
//! processors by entries (`processor:NAME`). Decisions and actions are separate: planning is pure, executing a plan is not.
//!
//! You can compute what a start would change without a broker or a configuration:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use weir_flow::blueprint::Blueprint;
//! use weir_flow::parameters::resolve;
//! use weir_flow::plan::{Draft, Exits, FlowIdentity, Snapshot, plan_start};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let blueprint = Blueprint::parse(
//!     r#"{
//!         "blueprint": {},
//!         "flow": {"summarizer:{id}": {"topics": {"input": "flow:tg:texts:{id}", "output": "flow:tg:summaries:{id}"}}},
//!         "interfaces": {"texts": {"flow": "flow:tg:texts:{id}"}, "summaries": {"flow": "flow:tg:summaries:{id}"}}
//!     }"#,
//! )?;
//! let parameters = resolve(&blueprint, &BTreeMap::new(), &BTreeMap::new())?;
//! let flow = FlowIdentity { id: "news".to_owned(), blueprint: "summaries".to_owned(), description: String::new() };
//! let draft = Draft::new(flow, &blueprint, parameters)?;
//! let plan = plan_start(&draft, &Snapshot::default(), Exits::Keep { limit_bytes: 1 << 20 })?;
//!
//! // A queue for the processor's input, and an exit that keeps its results until they are taken.
//! let topics: Vec<&str> = plan.queues.iter().map(|queue| queue.topic.as_str()).collect();
//! assert_eq!(topics, ["flow:tg:texts:news", "flow:tg:summaries:news"]);
//! let (key, entry) = plan.entries.first_key_value().expect("the processor has an entry");
//! assert_eq!((key.processor.as_str(), key.variant.as_str()), ("summarizer", "news"));
//! assert_eq!(entry.consumed, ["output"]);
//! # Ok(())
//! # }
//! ```

pub mod blueprint;
pub mod bounds;
mod client;
mod component_failures;
mod error;
mod failpoint;
mod leader;
mod lifecycle;
mod naming;
mod operations;
mod orphans;
pub mod parameters;
pub mod plan;
pub mod protocol;
pub mod references;
mod service;
mod settings;
pub mod template;
mod topics;
mod writes;

pub use client::{FlowClient, FlowDescription, StartFlow};
pub use error::{FlowError, Result};
pub use service::FlowService;
pub use settings::FlowSettings;
