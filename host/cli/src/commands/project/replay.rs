//! `weir replay`: runs a dead letter through a component, and sends nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_config::names::spec_of_subscription;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, DEAD_LETTER_PREFIX, Entry, GivenLimits, entry_type};
use weir_gateway::protocol::DeadLetterSummary;
use weir_project::{Case, CaseError, CaseMessage, Harness, Observed};
use weir_pubsub::Message;

use super::folder::Folder;
use super::problem;
use crate::args::Replay;
use crate::client::escaped;
use crate::commands::Session;
use crate::commands::config::{everything, find};
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// One dead letter with its message.
#[derive(Deserialize)]
struct ReplayedDeadLetter {
    letter: DeadLetterSummary,
    message: Line,
}

/// A message in the gateway's line format.
#[derive(Deserialize)]
struct Line {
    properties: Map<String, Value>,
    #[serde(default)]
    body: Value,
    text: Option<String>,
    base64: Option<String>,
}

/// The component that a dead letter is replayed with.
struct Subject {
    /// The file or deployment, for people.
    name: String,
    bytes: Vec<u8>,
    limits: GivenLimits,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, command: &Replay) -> Result<()> {
    let ReplayedDeadLetter { letter, message } = letter(session, &command.letter).await?;
    let (_, text) = find(session, &entry_type(&letter.processor), &letter.variant).await.map_err(|error| gone(&letter, error))?;
    let entry: Entry = serde_json::from_str(&text).map_err(|error| unreadable("the processor's entry", error))?;
    let subject = subject(session, command, &entry).await?;
    let folder = Folder::make("replay").map_err(|error| Problem::new(Exit::Failed, "no temporary folder can be created").because(error))?;
    let harness = Harness::load(Path::new(&subject.name), &subject.bytes, folder.path()).map_err(problem)?;
    let (version, case) = case(session, &harness, (&letter, &message), entry, subject.limits).await?;
    // The case has its own async runtime, which threads of this one may not block on.
    let observed = std::thread::scope(|scope| scope.spawn(|| harness.run(&case)).join());
    let observed = observed.map_err(|_| Problem::new(Exit::Failed, "the replay was aborted"))?;
    match session.format {
        Format::Json => output::json(&as_json(&letter, &subject.name, version, &observed))?,
        Format::Text => print(&letter, &subject.name, version, &observed)?,
    }
    Ok(())
}

async fn letter(session: &Session, id: &str) -> Result<ReplayedDeadLetter, Problem> {
    let mut lines = session.client.lines(&format!("/api/v1/weir/dead-letters/{}", escaped(id))).await?;
    let line = lines.next().await?.ok_or_else(|| Problem::new(Exit::Failed, format!("there is no dead letter {id}")))?;
    let whole: ReplayedDeadLetter = serde_json::from_slice(&line).map_err(|error| unreadable("the dead letter", error))?;
    let lost = whole.letter.lost.as_ref().or(whole.letter.unreadable.as_ref());
    match lost {
        Some(lost) => {
            Err(Problem::new(Exit::Failed, format!("the dead letter is not the complete message, so it cannot be replayed: {lost}")))
        }
        None => Ok(whole),
    }
}

fn unreadable(what: &str, error: serde_json::Error) -> Problem {
    Problem::new(Exit::Unavailable, format!("{what} does not have the expected form")).because(error)
}

fn gone(letter: &DeadLetterSummary, error: Problem) -> Problem {
    let what = format!("processor {} no longer has the entry `{}`, which contains its parameters", letter.processor, letter.variant);
    Problem::new(error.exit, what).because(error).next("start the flow again, then repeat the command")
}

async fn subject(session: &Session, command: &Replay, entry: &Entry) -> Result<Subject, Problem> {
    if let Some(file) = &command.component {
        return Ok(Subject { name: file.display().to_string(), bytes: read_input(file)?, limits: GivenLimits::default() });
    }
    let key = command.deployment.clone().or_else(|| entry.component.as_ref().map(weir_config::records::ComponentRef::key));
    let key = key.ok_or_else(|| {
        let what = "the processor has no component, so the letter cannot be replayed";
        Problem::new(Exit::Failed, what).next("specify a component: --component FILE.wasm or --deployment NAME@VERSION")
    })?;
    let (_, text) = find(session, COMPONENT_TYPE, &key).await?;
    let record: ComponentRecord = serde_json::from_str(&text).map_err(|error| unreadable(&key, error))?;
    let bytes = session.client.bytes(&format!("/api/v1/weir/components/{}", escaped(&record.digest.to_string()))).await?;
    Ok(Subject { name: key, bytes: bytes.into(), limits: record.limits })
}

/// The case, and the version of the configuration in it.
async fn case(
    session: &Session,
    harness: &Harness,
    (letter, line): (&DeadLetterSummary, &Line),
    entry: Entry,
    limits: GivenLimits,
) -> Result<(u64, Case), Problem> {
    let descriptor = harness.descriptor();
    let (mut version, mut config) = (0, BTreeMap::new());
    for config_type in &descriptor.config_types {
        let (read, mut values) = everything(session, Some(&config_type.name)).await?;
        version = version.max(read);
        config.insert(config_type.name.clone(), values.remove(&config_type.name).unwrap_or_default());
    }
    let input = spec_of_subscription(&letter.subscription, &letter.processor, &letter.variant);
    let input = input.ok_or_else(|| {
        Problem::new(Exit::Failed, format!("the letter came from {}, which is not an input of the processor", letter.subscription))
    })?;
    let is_open = descriptor.producers.iter().any(|producer| producer.name == "*");
    let is_named = |name: &String| {
        descriptor.consumers.iter().any(|consumer| consumer.name == *name)
            || descriptor.requests.iter().any(|request| request.request == *name || request.response == *name)
    };
    let outputs = if is_open { entry.topics.keys().filter(|name| !is_named(name)).cloned().collect() } else { Vec::new() };
    let step = CaseMessage { input: input.to_owned(), message: message(letter, line), attempt: 1 };
    let flow = Some((entry.flow.unwrap_or_default(), letter.variant.clone()));
    Ok((version, Case { flow, parameters: entry.parameters, config, outputs, limits, steps: vec![step], ..Case::default() }))
}

/// The message before it became a dead letter.
fn message(letter: &DeadLetterSummary, line: &Line) -> Message {
    // The gateway does not show the content type; it follows from which of the three fields contains the body.
    let (body, content_type) = match line {
        Line { text: Some(text), .. } => (text.clone().into_bytes(), Some("text/plain")),
        Line { base64: Some(text), .. } => (weir_project::decoded(text).unwrap_or_default(), Some("application/octet-stream")),
        Line { body, .. } => (body.to_string().into_bytes(), None),
    };
    let mut message = Message::new(body);
    message.id = letter.id.as_ref().and_then(|id| id.parse().ok());
    message.content_type = content_type.map(Into::into);
    for (name, value) in line.properties.iter().filter(|(name, _)| !name.starts_with(DEAD_LETTER_PREFIX)) {
        message.properties.set(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    message
}

fn print(letter: &DeadLetterSummary, with: &str, version: u64, observed: &Result<Vec<Observed>, CaseError>) -> std::io::Result<()> {
    let id = letter.id.as_deref().unwrap_or("without id");
    output::heading(&format!("message {id} of {} ({}), replayed with {with}", letter.processor, letter.variant))?;
    let config = if version > 0 { format!(", configuration version {version}") } else { String::new() };
    output::line(&format!("current parameters of the entry{config}; nothing was sent\n"))?;
    let observed = match observed {
        Ok(observed) => observed.first(),
        Err(CaseError::Setup(reason)) => return output::line(&output::block("setup failed  ", reason)),
        Err(CaseError::Case(reason)) => return output::line(&output::block("not replayed  ", reason)),
    };
    let Some(observed) = observed else { return Ok(()) };
    for (name, messages) in &observed.outputs {
        messages.iter().try_for_each(|message| output::line(&output::block(&format!("output  {name}  "), &shown(message))))?;
    }
    observed.replies.iter().try_for_each(|message| output::line(&output::block("reply   ", &shown(message))))?;
    for (name, message) in &observed.requests {
        output::line(&output::block(&format!("request {name}  "), &shown(message)))?;
    }
    observed.log.iter().try_for_each(|line| output::line(&output::block(&format!("log     {}  ", line.level), &line.text)))?;
    match &observed.failure {
        Some(failure) => output::line(&output::block(&format!("{}  ", output::bold(failure.verdict)), &failure.reason)),
        None => output::line("handled: the message would be acknowledged"),
    }
}

fn shown(message: &Message) -> String {
    match std::str::from_utf8(&message.body) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} bytes", message.body.len()),
    }
}

fn as_json(letter: &DeadLetterSummary, with: &str, version: u64, observed: &Result<Vec<Observed>, CaseError>) -> Value {
    let values = |messages: &[Message]| messages.iter().map(weir_project::as_fixture).collect::<Value>();
    let mut answer = json!({
        "id": letter.id, "processor": letter.processor, "variant": letter.variant, "component": with, "config-version": version,
    });
    match observed {
        Ok(observed) => {
            let Some(observed) = observed.first() else { return answer };
            answer["outputs"] =
                observed.outputs.iter().map(|(name, messages)| (name.clone(), values(messages))).collect::<Map<_, _>>().into();
            answer["replies"] = values(&observed.replies);
            answer["requests"] =
                observed.requests.iter().map(|(to, message)| json!({"to": to, "message": weir_project::as_fixture(message)})).collect();
            answer["log"] = observed.log.iter().map(|line| json!({"level": line.level, "text": line.text})).collect();
            let failure = observed.failure.as_ref();
            answer["failure"] = failure.map_or(Value::Null, |failure| json!({"verdict": failure.verdict, "reason": failure.reason}));
        }
        Err(CaseError::Setup(reason) | CaseError::Case(reason)) => answer["broken"] = json!(reason),
    }
    answer
}
