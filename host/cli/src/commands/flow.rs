//! `weir flow`: running flows.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;
use weir_gateway::protocol::{FlowProcessor, FlowSummary, InterfaceKind, Presence, QueueSummary, Queues, Status};

use super::{Session, notes, status};
use crate::args::Flow;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: Flow) -> Result<()> {
    match command {
        Flow::Start { blueprint, flow, description, external, parameters } => {
            let request = json!({
                "operation": "start-flow", "blueprint-name": blueprint, "flow-id": flow, "description": description,
                "parameters": unique(parameters)?, "require-readers": true, "external": external,
            });
            start(session, &blueprint, &flow, &request).await
        }
        Flow::Stop { flow, discard } => stop(session, &flow, discard).await,
        Flow::List => list(session).await,
        Flow::Show { flow } => show(session, &flow).await,
    }
}

async fn start(session: &Session, blueprint: &str, flow: &str, request: &serde_json::Value) -> Result<()> {
    let answer = during(session.format, &format!("starting flow {flow}"), &Counter::default(), session.client.ask_flow(request)).await?;
    let notes = notes(&answer);
    if session.format == Format::Json {
        return Ok(output::json(&json!({"flow": flow, "notes": notes}))?);
    }
    let started = find(session, flow).await?;
    output::line(&format!("flow {flow} started from blueprint {blueprint}"))?;
    notes.iter().try_for_each(|note| output::line(&format!("  note: {note}")))?;
    print_parts(&started)?;
    output::line(&format!("  check that it works: weir flow show {flow}"))?;
    Ok(())
}

fn unique(parameters: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Problem> {
    let mut unique = BTreeMap::new();
    for (name, value) in parameters {
        if unique.insert(name.clone(), value).is_some() {
            return Err(Problem::new(Exit::Usage, format!("parameter `{name}` is given twice")).next("give each parameter once"));
        }
    }
    Ok(unique)
}

async fn stop(session: &Session, flow: &str, discard: bool) -> Result<()> {
    // Only for the report: the flow service decides what the queues contain when they are deleted.
    let count = if discard { backlog_count(session, flow).await? } else { Some(0) };
    let backlog = if discard { "discard" } else { "refuse" };
    let request = json!({"operation": "stop-flow", "flow-id": flow, "backlog": backlog});
    let answer = during(session.format, &format!("stopping flow {flow}"), &Counter::default(), session.client.ask_flow(&request)).await?;
    let notes = notes(&answer);
    match session.format {
        Format::Json => output::json(&json!({"flow": flow, "discarded-count": count, "notes": notes}))?,
        Format::Text => {
            let discarded = match count {
                Some(0) => String::new(),
                None => "; the messages in its queues were discarded (the broker does not count them)".to_owned(),
                Some(1) => "; 1 message was discarded".to_owned(),
                Some(count) => format!("; {} messages were discarded", output::number(count)),
            };
            output::line(&format!("flow {flow} stopped{discarded}"))?;
            notes.iter().try_for_each(|note| output::line(&format!("  note: {note}")))?;
        }
    }
    Ok(())
}

/// Messages in the queues that only this flow uses, if the broker counts them.
async fn backlog_count(session: &Session, flow: &str) -> Result<Option<u64>> {
    let Queues { queues } = session.client.get("/api/v1/weir/queues").await?;
    Ok(queues.iter().filter(|queue| queue.flows == [flow] && !queue.is_missing).map(QueueSummary::held_count).sum())
}

async fn list(session: &Session) -> Result<()> {
    let Status { flows, .. } = status::whole(session).await?;
    match session.format {
        Format::Json => output::json(&flows)?,
        Format::Text if flows.is_empty() => output::line("no flows; start one: weir flow start BLUEPRINT FLOW")?,
        Format::Text => output::line(&status::flow_table(&flows, output::width()))?,
    }
    Ok(())
}

async fn show(session: &Session, flow: &str) -> Result<()> {
    let Status { flows, mut hosts, mut queues, .. } = status::whole(session).await?;
    hosts.retain(|host| host.presence == Presence::Reporting);
    let found = among(flows, flow)?;
    let has = |processor: &str, variant: &str| found.processors.iter().any(|it| it.processor == processor && it.variant == variant);
    for host in &mut hosts {
        host.processors.retain(|status| has(&status.processor, &status.variant));
    }
    queues.retain(|queue| queue.flows.iter().any(|id| id == flow));
    if session.format == Format::Json {
        return Ok(output::json(&json!({"flow": found, "hosts": hosts, "queues": queues}))?);
    }
    output::heading(&format!("flow {flow}, {}", found.status))?;
    if !found.description.is_empty() {
        output::line(&format!("  {}", output::cut(&found.description, 90)))?;
    }
    output::line(&format!("  blueprint   {}", found.blueprint))?;
    print_parts(&found)?;
    let reported = |it: &FlowProcessor| {
        hosts.iter().flat_map(|host| &host.processors).any(|at| at.processor == it.processor && at.variant == it.variant)
    };
    for processor in found.processors.iter().filter(|it| it.component.is_some() && !reported(it)) {
        output::line(&format!("  no host has reported {} ({}) yet", processor.processor, processor.variant))?;
    }
    output::line(status::sections(&hosts, &queues, output::width(), usize::MAX).trim_end())?;
    Ok(())
}

/// Finds a flow, which must exist.
pub(crate) async fn find(session: &Session, flow: &str) -> Result<FlowSummary, Problem> {
    let Status { flows, .. } = status::whole(session).await?;
    among(flows, flow)
}

fn among(flows: Vec<FlowSummary>, flow: &str) -> Result<FlowSummary, Problem> {
    let known: Vec<String> = flows.iter().map(|found| found.id.clone()).collect();
    flows.into_iter().find(|found| found.id == flow).ok_or_else(|| {
        let known =
            if known.is_empty() { "there are no flows".to_owned() } else { format!("flows: {}", output::cut(&known.join(", "), 200)) };
        Problem::new(Exit::Failed, format!("there is no flow `{flow}`; {known}"))
    })
}

fn print_parts(flow: &FlowSummary) -> std::io::Result<()> {
    let parameters: Vec<String> = flow.parameters.iter().map(|(name, value)| format!("{name}={}", output::cut(value, 40))).collect();
    if !parameters.is_empty() {
        output::line(&format!("  parameters  {}", parameters.join(" ")))?;
    }
    for processor in &flow.processors {
        let component = processor
            .component
            .as_ref()
            .map_or_else(|| "no component: left to an external program".to_owned(), |component| component.key());
        output::line(&format!("  processor   {} ({}), {component}", processor.processor, processor.variant))?;
    }
    for (name, kind) in &flow.interfaces {
        let what = match kind {
            InterfaceKind::Flow => "messages",
            InterfaceKind::Request => "requests",
        };
        output::line(&format!("  interface   {name} ({what})"))?;
    }
    Ok(())
}
