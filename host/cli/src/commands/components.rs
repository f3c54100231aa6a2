//! `weir components`: lists, shows and removes deployments.

mod show;

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
struct ComponentsResponse {
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
        Some(ComponentsCommand::Show { component }) => show::show(session, &component).await,
        Some(ComponentsCommand::Remove { component }) => remove(session, &component).await,
    }
}

async fn remove(session: &Session, component: &str) -> Result<()> {
    let request = json!({"component": component});
    let removed: RemovedComponent = session.client.post("/api/v1/weir/components/remove", request.to_string()).await?;
    match session.format {
        Format::Json => output::json(&removed)?,
        Format::Text => output::line(&format!("{} removed; weir prune deletes files that are no longer needed", removed.component))?,
    }
    Ok(())
}

/// Lists the deployments, with the inputs, outputs and parameters of each.
async fn list(session: &Session) -> Result<()> {
    let request = json!({"operation": "getvalues", "type": COMPONENT_TYPE});
    let ComponentsResponse { values } = session.client.post("/api/v1/config", request.to_string()).await?;
    let (mut known, mut unreadable) = (Vec::new(), Vec::new());
    for Deployment { key, value } in &values {
        match serde_json::from_str::<ComponentRecord>(value) {
            Ok(record) => known.push((key.as_str(), record)),
            Err(error) => unreadable.push((key.as_str(), error.to_string())),
        }
    }
    if session.format == Format::Json {
        let known = known.iter().map(|(key, record)| json!({"component": key, "record": record}));
        let unreadable = unreadable.iter().map(|(key, problem)| json!({"component": key, "problem": problem}));
        return Ok(output::json(&known.chain(unreadable).collect::<Vec<_>>())?);
    }
    if values.is_empty() {
        return Ok(output::line("no components; deploy one: weir deploy FILE.wasm")?);
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
    if !known.is_empty() {
        output::line(&output::fitted(&headings, &[1], known.iter().map(row).collect(), output::width()))?;
    }
    for (key, problem) in unreadable {
        output::line(&format!("{key} cannot be used: {}", output::cut(&problem, 300)))?;
    }
    Ok(())
}
