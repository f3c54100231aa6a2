//! `weir dead-letters`: messages that could not be handled.

use anyhow::Result;
use weir_gateway::protocol::{DeadLetterSummary, DeadLetters as Answer};

use super::Session;
use crate::args::DeadLetters;
use crate::output::{self, Format};

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: DeadLetters) -> Result<()> {
    let DeadLetters::List { limit } = command;
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
    format!("{id}  {} after {attempts}{component}", letter.error)
}
