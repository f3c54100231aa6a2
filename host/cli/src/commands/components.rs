//! `weir components`: lists what is deployed, and removes a deployment.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_gateway::protocol::RemovedComponent;

use super::Session;
use crate::args::{Components, ComponentsCommand};
use crate::output::{self, Format};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    values: Vec<Deployment>,
}

#[derive(Deserialize)]
struct Deployment {
    key: String,
    value: String,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, command: Components) -> Result<()> {
    match command.command {
        None => list(session).await,
        Some(ComponentsCommand::Remove { component }) => remove(session, &component).await,
    }
}

async fn remove(session: &Session, component: &str) -> Result<()> {
    let request = json!({"component": component});
    let removed: RemovedComponent = session.client.post("/api/v1/weir/components/remove", request.to_string()).await?;
    match session.format {
        Format::Json => output::json(&removed)?,
        Format::Text => output::line(&format!("{} is removed; weir prune removes files that nothing needs", removed.component))?,
    }
    Ok(())
}

/// Lists the deployments, with the inputs, outputs and parameters of each.
async fn list(session: &Session) -> Result<()> {
    let request = json!({"operation": "getvalues", "type": COMPONENT_TYPE});
    let Answer { values } = session.client.post("/api/v1/config", request.to_string()).await?;
    // What cannot be read is no deployment that anybody could use.
    let known = values.iter().filter_map(|it| Some((it.key.as_str(), serde_json::from_str::<ComponentRecord>(&it.value).ok()?)));
    let known: Vec<(&str, ComponentRecord)> = known.collect();
    if session.format == Format::Json {
        let all: Vec<_> = known.iter().map(|(key, record)| json!({"component": key, "record": record})).collect();
        return Ok(output::json(&all)?);
    }
    if known.is_empty() {
        return Ok(output::line("no components; bring one: weir deploy FILE.wasm")?);
    }
    let row = |(key, record): &(&str, ComponentRecord)| {
        let names = |names: Vec<&str>| names.join(" ");
        let descriptor = &record.descriptor;
        vec![
            (*key).to_owned(),
            output::size(record.size_bytes),
            names(descriptor.consumers.iter().map(|it| it.name.as_str()).collect()),
            names(descriptor.producers.iter().map(|it| it.name.as_str()).collect()),
            names(descriptor.parameters.iter().map(|it| it.name.as_str()).collect()),
        ]
    };
    let headings = ["component", "size", "consumes", "produces", "parameters"];
    output::line(&output::fitted(&headings, &[1], known.iter().map(row).collect(), output::width()))?;
    Ok(())
}
