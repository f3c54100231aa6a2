//! Deployments whose records no host can use.

use serde_json::{Value, json};
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};

use super::finding::{Finding, fail};
use crate::client::Client;
use crate::output::cut;
use crate::problem::Problem;

/// Maximum number of deployments named; the rest is counted.
const NAMED_COUNT: usize = 20;

/// Reports each deployment whose record cannot be read or is out of bounds: other programs can write records, too.
pub(super) async fn check(client: &Client) -> Option<Finding> {
    const CHECK: &str = "components";
    let request = json!({"operation": "getvalues", "type": COMPONENT_TYPE}).to_string();
    let asked: Result<Value, Problem> = client.post("/api/v1/config", request).await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(problem) => return Some(fail(CHECK, weir_pubsub::chain(&problem), "check the output of `weir up`")),
    };
    let faulty: Vec<String> = answer["values"].as_array().into_iter().flatten().filter_map(fault).collect();
    if faulty.is_empty() {
        return None;
    }
    let mut lines: Vec<String> = faulty.iter().take(NAMED_COUNT).cloned().collect();
    if let Some(more) = faulty.len().checked_sub(NAMED_COUNT).filter(|more| *more > 0) {
        lines.push(format!("and {more} more: weir components"));
    }
    let next = "deploy the component under another version and swap to it, or correct the record: weir config put component NAME@VERSION - --force";
    Some(fail(CHECK, lines.join("\n"), next))
}

fn fault(value: &Value) -> Option<String> {
    let error = serde_json::from_str::<ComponentRecord>(value["value"].as_str()?).err()?;
    Some(format!("{} cannot be used: {}", value["key"].as_str()?, cut(&error.to_string(), 200)))
}
