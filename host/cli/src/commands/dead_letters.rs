//! `weir dead-letters`: messages that could not be handled.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_gateway::protocol::{DeadLetterSummary, DeadLetters as Answer};

use super::Session;
use crate::args::DeadLetters;
use crate::client::escaped;
use crate::output::{self, Format};

/// Properties that say why it is a dead letter, which is shown apart.
const OWN_PREFIX: &str = "weir-dead-";

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: DeadLetters) -> Result<()> {
    match command {
        DeadLetters::List { limit } => list(session, limit).await,
        DeadLetters::Show { letter } => show(session, &letter).await,
    }
}

async fn list(session: &Session, limit: u32) -> Result<()> {
    let answer: Answer = session.client.get(&format!("/api/v1/weir/dead-letters?limit={limit}")).await?;
    match session.format {
        Format::Json => output::json(&answer.letters)?,
        Format::Text if answer.letters.is_empty() => output::line("no dead letters")?,
        Format::Text => print(&answer)?,
    }
    Ok(())
}

fn print(answer: &Answer) -> std::io::Result<()> {
    for letter in &answer.letters {
        output::heading(&title(letter))?;
        output::line(&format!("  from    {} ({})", letter.topic, letter.subscription))?;
        output::line(&format!("  reason  {}", output::cut(&letter.reason, 400)))?;
        output::line(&format!("  body    {} ({})", output::cut(&letter.body, 200), output::size(letter.body_bytes)))?;
    }
    let shown = answer.letters.len() as u64;
    if answer.depth_count > shown {
        output::line(&format!("{} of {}; --limit shows more", output::number(shown), output::number(answer.depth_count)))?;
    }
    Ok(())
}

fn title(letter: &DeadLetterSummary) -> String {
    let id = letter.id.as_deref().unwrap_or("without id");
    let component = if letter.digest.is_empty() { String::new() } else { format!(" by {}", output::cut(&letter.digest, 22)) };
    let attempts = if letter.attempts_count == 1 { "1 attempt".to_owned() } else { format!("{} attempts", letter.attempts_count) };
    format!("{}  {id}  {} after {attempts}{component}", letter.position, letter.error)
}

/// One letter with its message.
#[derive(Deserialize)]
struct Whole {
    letter: DeadLetterSummary,
    message: Message,
}

/// A message as a line of the gateway has it: one of `body`, `text` and `base64` is there.
#[derive(Deserialize)]
struct Message {
    properties: Map<String, Value>,
    body: Option<Value>,
    text: Option<String>,
    base64: Option<String>,
}

async fn show(session: &Session, letter: &str) -> Result<()> {
    let mut lines = session.client.lines(&format!("/api/v1/weir/dead-letters/{}", escaped(letter))).await?;
    while let Some(line) = lines.next().await? {
        match session.format {
            Format::Json => output::line(&String::from_utf8_lossy(&line))?,
            Format::Text => print_whole(&serde_json::from_slice(&line)?)?,
        }
    }
    Ok(())
}

fn print_whole(Whole { letter, message }: &Whole) -> Result<()> {
    output::heading(&title(letter))?;
    output::line(&format!("  from      {} ({})", letter.topic, letter.subscription))?;
    let digest = if letter.digest.is_empty() { "none: it reached no component" } else { letter.digest.as_str() };
    output::line(&format!("  digest    {digest}"))?;
    output::line(&output::block("  reason    ", &letter.reason))?;
    for (name, value) in message.properties.iter().filter(|(name, _)| !name.starts_with(OWN_PREFIX)) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output::line(&output::block("  property  ", &format!("{name}: {value}")))?;
    }
    output::line(&format!("  body      {}", output::size(letter.body_bytes)))?;
    let body = match message {
        Message { body: Some(body), .. } => serde_json::to_string_pretty(body)?,
        Message { text: Some(text), .. } => text.clone(),
        Message { base64: Some(base64), .. } => format!("base64: {base64}"),
        // A body that is the JSON text `null`.
        _ => "null".to_owned(),
    };
    output::line(&output::block("    ", &body))?;
    Ok(())
}
