//! `weir dead-letters`: messages that could not be handled.

mod batches;
mod pages;
mod redrive_to;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_config::records::DEAD_LETTER_PREFIX;
use weir_gateway::protocol::{DeadLetterSummary, Position};

use self::batches::Action;
use self::pages::{PAGE_COUNT, Pages};
use super::Session;
use crate::args::{DeadLetterSelection, DeadLetters, Redrive};
use crate::client::escaped;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: DeadLetters) -> Result<()> {
    match command {
        DeadLetters::List { limit, flow, processor } => list(session, limit, flow.as_deref(), processor.as_deref()).await,
        DeadLetters::Show { letters } => show(session, &letters).await,
        DeadLetters::Redrive(redrive) => send_again(session, &redrive).await,
        DeadLetters::Delete { letters } => batches::work(session, Action::Delete, &letters, None, Value::Null).await,
    }
}

async fn send_again(session: &Session, redrive: &Redrive) -> Result<()> {
    let Some(component) = &redrive.to else {
        return batches::work(session, Action::Redrive, &redrive.letters, None, Value::Null).await;
    };
    let ready = redrive_to::swap_first(session, redrive, component).await?;
    redrive_to::show_none(session, &ready)?;
    batches::work(session, Action::Redrive, &redrive.letters, ready.through, ready.swapped).await
}

async fn list(session: &Session, limit: u32, flow: Option<&str>, processor: Option<&str>) -> Result<()> {
    let mut pages = Pages::of(session, flow, processor);
    let mut letters = Vec::new();
    let (depth_count, more) = loop {
        let (page, more) = pages.next(limit - letters.len() as u32).await?;
        letters.extend(page.letters);
        if !more || letters.len() >= limit as usize {
            break (page.depth_count, more);
        }
    };
    match session.format {
        Format::Json => output::json(&letters)?,
        Format::Text if letters.is_empty() => {
            output::line(if depth_count == Some(0) { "no dead letters" } else { "no dead letter matches" })?
        }
        Format::Text => print(&letters, depth_count, more)?,
    }
    Ok(())
}

fn print(letters: &[DeadLetterSummary], depth_count: Option<u64>, more: bool) -> std::io::Result<()> {
    for letter in letters {
        output::heading(&title(letter))?;
        if let Some(problem) = &letter.unreadable {
            output::line(&format!("  cannot be read: {}", output::cut(problem, 400)))?;
            continue;
        }
        output::line(&format!("  from    {}", from(letter)))?;
        output::line(&format!("  reason  {}", output::cut(&letter.reason, 400)))?;
        output::line(&format!("  body    {} ({})", output::cut(&letter.body, 200), output::size(letter.body_bytes)))?;
    }
    if more {
        let shown = output::number(letters.len() as u64);
        output::line(&format!("{shown} of {} dead letters; --limit shows more", output::number_if_known(depth_count)))?;
    }
    Ok(())
}

fn title(letter: &DeadLetterSummary) -> String {
    let id = letter.id.as_deref().unwrap_or("without id");
    let by = match (letter.component.is_empty(), letter.digest.is_empty()) {
        (false, _) => format!(" by {}", output::cut(&letter.component, 80)),
        (true, false) => format!(" by {}", output::cut(&letter.digest, 22)),
        (true, true) => String::new(),
    };
    let attempts = match (letter.error.as_str(), letter.attempts_count) {
        // No attempt was completed, so none was counted; the reason states the number of deliveries.
        ("deliveries", 0) => "with no completed attempt".to_owned(),
        (_, 1) => "after 1 attempt".to_owned(),
        (_, count) => format!("after {count} attempts"),
    };
    let time = letter.time_ms.map_or(String::new(), |ms| format!(", {}", output::utc(ms)));
    format!("{}  {id}  {} {attempts}{by}{time}", letter.position, letter.error)
}

fn from(letter: &DeadLetterSummary) -> String {
    let flows = if letter.flows.is_empty() { String::new() } else { format!(", flow {}", letter.flows.join(", ")) };
    format!("{} ({}){flows}", letter.topic, letter.subscription)
}

/// One dead letter with its message.
#[derive(Deserialize)]
struct ShownDeadLetter {
    letter: DeadLetterSummary,
    message: Message,
}

/// A message in the gateway's line format: exactly one of `body`, `text` and `base64` is present.
#[derive(Deserialize)]
struct Message {
    properties: Map<String, Value>,
    body: Option<Value>,
    text: Option<String>,
    base64: Option<String>,
}

async fn show(session: &Session, letters: &DeadLetterSelection) -> Result<()> {
    if let [letter] = letters.ids.as_slice() {
        return Ok(show_one(session, letter).await?);
    }
    let mut missing = Vec::new();
    for letter in &letters.ids {
        match show_one(session, letter).await {
            Err(problem) if problem.exit == Exit::Failed => missing.push((problem.to_string(), Value::from(letter.as_str()))),
            shown => shown?,
        }
    }
    if letters.ids.is_empty() {
        show_selected(session, letters).await?;
    }
    match missing.len() {
        0 => Ok(()),
        count => Err(Problem::new(Exit::Failed, format!("{count} of {} dead letters were not found", letters.ids.len()))
            .with_details(missing)
            .into()),
    }
}

/// Shows the dead letters of a flow or a processor, or all current ones; omits those that are removed meanwhile.
async fn show_selected(session: &Session, letters: &DeadLetterSelection) -> Result<()> {
    let mut pages = Pages::of(session, letters.flow.as_deref(), letters.processor.as_deref());
    let mut newest = None;
    let mut is_any = false;
    loop {
        let (page, more) = pages.next(PAGE_COUNT).await?;
        newest = newest.or(page.newest);
        let is_later = |position: &Position| newest.as_ref().is_some_and(|newest| position.is_behind(newest));
        for letter in page.letters.iter().filter(|letter| !is_later(&letter.position)) {
            is_any = true;
            match show_one(session, &letter.position.to_string()).await {
                Err(problem) if problem.exit == Exit::Failed => {}
                shown => shown?,
            }
        }
        if !more || pages.after().is_some_and(is_later) {
            break;
        }
    }
    if !is_any && session.format == Format::Text {
        output::line("no dead letter matches")?;
    }
    Ok(())
}

async fn show_one(session: &Session, letter: &str) -> Result<(), Problem> {
    let unprinted = |error: anyhow::Error| Problem::new(Exit::Unavailable, "the dead letter cannot be shown").because(error);
    let mut lines = session.client.lines(&format!("/api/v1/weir/dead-letters/{}", escaped(letter))).await?;
    let cut_off = |problem: Problem| problem.or_next("repeat the command: nothing was changed");
    while let Some(line) = lines.next().await.map_err(cut_off)? {
        let shown = match session.format {
            Format::Json => output::line(&String::from_utf8_lossy(&line)).map_err(anyhow::Error::from),
            Format::Text => serde_json::from_slice(&line).map_err(anyhow::Error::from).and_then(|whole| print_whole(&whole)),
        };
        shown.map_err(unprinted)?;
    }
    Ok(())
}

fn print_whole(ShownDeadLetter { letter, message }: &ShownDeadLetter) -> Result<()> {
    output::heading(&title(letter))?;
    output::line(&format!("  from      {}", from(letter)))?;
    let digest = if letter.digest.is_empty() { "none: no component received it" } else { letter.digest.as_str() };
    output::line(&format!("  digest    {digest}"))?;
    if let Some(version) = letter.config_version {
        output::line(&format!("  config    version {version}"))?;
    }
    output::line(&output::block("  reason    ", &letter.reason))?;
    if let Some(lost) = &letter.lost {
        output::line(&format!("  lost      {lost}; it cannot be resent"))?;
    }
    for (name, value) in message.properties.iter().filter(|(name, _)| !name.starts_with(DEAD_LETTER_PREFIX)) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output::line(&output::block("  property  ", &format!("{name}: {value}")))?;
    }
    output::line(&format!("  body      {}", output::size(letter.body_bytes)))?;
    let body = match message {
        Message { body: Some(body), .. } => serde_json::to_string_pretty(body)?,
        Message { text: Some(text), .. } => text.clone(),
        Message { base64: Some(base64), .. } => format!("base64: {base64}"),
        // The body is the JSON value `null`.
        _ => "null".to_owned(),
    };
    output::line(&output::block("    ", &body))?;
    Ok(())
}
