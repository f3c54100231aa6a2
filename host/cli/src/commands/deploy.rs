//! `weir deploy`: deploys a component.

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use weir_config::names::deployment_key;
use weir_config::records::GivenLimits;
use weir_gateway::protocol::{Deployed, Unreached};

use super::Session;
use crate::args::Deploy;
use crate::client::escaped;
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

const PIECE_BYTES: usize = 64 << 10;

/// Runs the command.
pub(crate) async fn run(session: &Session, command: Deploy) -> Result<()> {
    let (target, file) = match command.target_and_file.as_slice() {
        [target, file] => (Some(target.as_str()), file),
        [file] => (None, file),
        _ => return Err(usage("weir deploy requires a name and a file, or only a file").into()),
    };
    let query = query(target, &command.limits)?;
    let deployed = upload(session, Path::new(file), &query).await?;
    match session.format {
        Format::Json => output::json(&deployed)?,
        Format::Text => print(&deployed)?,
    }
    Ok(())
}

/// Deploys a file under a name and version.
pub(crate) async fn deploy_as(session: &Session, file: &Path, component: &str) -> Result<Deployed, Problem> {
    upload(session, file, &query(Some(component), &[])?).await
}

async fn upload(session: &Session, path: &Path, query: &str) -> Result<Deployed, Problem> {
    let file = path.display().to_string();
    let bytes = read_input(path)?;
    let sent = Counter::of_total(bytes.len() as u64);
    let path = format!("/api/v1/weir/components{query}");
    let upload = async {
        let response = session.client.upload(&path, "application/wasm", in_pieces(bytes.into(), sent.clone())).await?;
        session.client.read(response).await
    };
    during(session.format, &format!("deploying {file}"), &sent, upload).await.map_err(|problem| match problem.exit {
        Exit::BadInput => Problem::new(Exit::BadInput, format!("{file} was not deployed")).because(problem),
        _ => problem,
    })
}

/// A body that counts the bytes sent.
fn in_pieces(bytes: Bytes, sent: Counter) -> Body {
    Body::wrap_stream(stream::unfold((bytes, sent), |(mut rest, sent)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        sent.add(piece.len() as u64);
        Some((Ok::<_, std::io::Error>(piece), (rest, sent)))
    }))
}

fn usage(what: &str) -> Problem {
    Problem::new(Exit::Usage, what).next("weir deploy NAME@VERSION FILE.wasm, weir deploy NAME FILE.wasm, or weir deploy FILE.wasm")
}

fn query(target: Option<&str>, limits: &[(String, u64)]) -> Result<String, Problem> {
    let mut fields = match target.map(|target| (target, target.split_once('@'))) {
        None => Vec::new(),
        Some((name, None)) if !name.is_empty() => vec![format!("name={}", escaped(name))],
        Some((_, Some((name, version)))) if !name.is_empty() && !version.is_empty() => {
            vec![format!("name={}", escaped(name)), format!("version={}", escaped(version))]
        }
        Some((target, _)) => return Err(usage(&format!("`{target}` does not have the form NAME@VERSION or NAME"))),
    };
    if !limits.is_empty() {
        let limits: serde_json::Map<String, serde_json::Value> =
            limits.iter().map(|(name, number)| (name.clone(), (*number).into())).collect();
        fields.push(format!("limits={}", escaped(&serde_json::Value::from(limits).to_string())));
    }
    Ok(if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) })
}

fn print(deployed: &Deployed) -> std::io::Result<()> {
    let Deployed { name, version, record, .. } = deployed;
    let state = if deployed.unchanged { "already deployed" } else { "deployed" };
    let world = format!("weir:processor {}", record.world);
    let component = deployment_key(name, version);
    output::line(&format!("{component} {state}: {}, {world}, {}", output::size(record.size_bytes), record.digest))?;
    let names = |list: Vec<&str>| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    let descriptor = &record.descriptor;
    output::line(&format!("  consumes    {}", names(descriptor.consumers.iter().map(|c| c.name.as_str()).collect())))?;
    output::line(&format!("  produces    {}", names(descriptor.producers.iter().map(|p| p.name.as_str()).collect())))?;
    if !descriptor.parameters.is_empty() {
        output::line(&format!("  parameters  {}", names(descriptor.parameters.iter().map(|p| p.name.as_str()).collect())))?;
    }
    if let Some(granted) = granted(&record.limits) {
        output::line(&format!("  granted     {granted}"))?;
    }
    if deployed.not_reached.is_empty() {
        return Ok(());
    }
    output::line(&format!("\nThese keep their current component; to change one: weir swap FLOW PROCESSOR {component} --wait"))?;
    let row = |entry: &Unreached| {
        let runs = entry.runs.clone().unwrap_or_else(|| "no component".to_owned());
        vec![format!("  {}", entry.processor), entry.variant.clone(), entry.flow.clone().unwrap_or_else(|| "shared".to_owned()), runs]
    };
    output::line(&output::table(&["  processor", "variant", "flow", "component"], &[], deployed.not_reached.iter().map(row).collect()))?;
    output::line("Commands:")?;
    deployed.not_reached.iter().try_for_each(|entry| output::line(&format!("  {}", swap_command(entry, &component))))
}

/// The limits of this version that override the settings, for people: those of `--limit`, and those that the component requests.
fn granted(limits: &GivenLimits) -> Option<String> {
    let GivenLimits { memory_bytes, time_ms, sends_count, sends_bytes, log_bytes_per_minute } = limits;
    let parts = [
        memory_bytes.map(|bytes| format!("{} of memory", output::size(bytes))),
        time_ms.map(|ms| format!("{} per message", output::time_limit(ms))),
        sends_count.map(|count| format!("{} sends per message", output::number(count))),
        sends_bytes.map(|bytes| format!("{} of sends per message", output::size(bytes))),
        log_bytes_per_minute.map(|bytes| format!("{} of log per minute", output::size(bytes))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The command that swaps an entry to a component.
fn swap_command(entry: &Unreached, component: &str) -> String {
    let Unreached { processor, variant, flow, flows, .. } = entry;
    let Some(flow) = flow.as_ref().or(flows.first()) else {
        return format!("(no running flow uses {processor}:{variant}: restart the program that created this entry)");
    };
    let shared = if flows.len() > 1 { " --shared" } else { "" };
    format!("weir swap {flow} {processor}:{variant} {component} --wait{shared}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_with_or_without_a_version() {
        assert_eq!(query(None, &[]).unwrap(), "");
        assert_eq!(query(Some("splitter"), &[]).unwrap(), "?name=splitter");
        assert_eq!(query(Some("splitter@1.0.0+b"), &[]).unwrap(), "?name=splitter&version=1.0.0%2Bb");
        for wrong in ["", "@1", "a@"] {
            assert_eq!(query(Some(wrong), &[]).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn each_entry_has_its_swap_command() {
        let check = |flow: Option<&str>, flows: &[&str], command: &str| {
            let flows = flows.iter().map(ToString::to_string).collect();
            let entry = Unreached { processor: "p".into(), variant: "v".into(), flow: flow.map(str::to_owned), flows, runs: None };
            assert_eq!(swap_command(&entry, "p@1.0.0"), command);
        };
        check(Some("one"), &["one"], "weir swap one p:v p@1.0.0 --wait");
        check(None, &["one", "two"], "weir swap one p:v p@1.0.0 --wait --shared");
        check(None, &[], "(no running flow uses p:v: restart the program that created this entry)");
    }

    #[test]
    fn grants_are_shown() {
        let limits = GivenLimits { memory_bytes: Some(192 << 20), time_ms: Some(30_000), ..GivenLimits::default() };
        assert_eq!(granted(&limits).unwrap(), "192.0 MiB of memory, 30 s per message");
        assert_eq!(granted(&GivenLimits::default()), None);
    }

    #[test]
    fn limits_are_sent_as_json() {
        assert_eq!(query(None, &[("time-ms".to_owned(), 5)]).unwrap(), "?limits=%7B%22time-ms%22%3A5%7D");
    }
}
