//! `weir tail`: what passes an interface, or what left it.

use anyhow::Result;
use serde_json::Value;

use super::{Session, tell};
use crate::args::Tail;
use crate::client::{escaped, of_answer};
use crate::output::{self, Format};

/// Prints message by message until the count or the idle time is reached.
pub(crate) async fn run(session: &Session, command: Tail) -> Result<()> {
    let kind = if command.from_exit { "exits" } else { "taps" };
    let mut path = format!("/api/v1/weir/flows/{}/{kind}/{}", escaped(&command.flow), escaped(&command.interface));
    let count = command.count.map(|count| format!("count={count}"));
    let wait = command.idle_ms.map(|wait| format!("wait-ms={wait}"));
    let query: Vec<String> = count.into_iter().chain(wait).collect();
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let mut lines = session.client.lines(&path).await?;
    while let Some(line) = lines.next().await? {
        print(session.format, &line)?;
    }
    Ok(())
}

/// Prints a line of a stream of messages: its body, or for programs the whole of it. One that is an error is returned as such.
pub(crate) fn print(format: Format, line: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(line);
    let message: Value = serde_json::from_slice(line)?;
    if let Some(error) = message.get("error").filter(|_| message.get("id").is_none()) {
        return Err(of_answer(&serde_json::from_value(error.clone())?).into());
    }
    if format == Format::Json {
        return Ok(output::line(&text)?);
    }
    if let Some(missed) = message.get("missed") {
        tell(&format!("{missed} messages passed too fast and are not shown"));
        return Ok(());
    }
    match (message.get("body"), message.get("text"), message.get("base64")) {
        (Some(body), _, _) => output::line(&body.to_string())?,
        (_, Some(Value::String(text)), _) | (_, _, Some(Value::String(text))) => output::line(text)?,
        _ => output::line(&text)?,
    }
    Ok(())
}
