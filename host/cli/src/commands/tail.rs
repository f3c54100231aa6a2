//! `weir tail`: shows the messages that pass an interface, without taking any.

use std::io::Write;

use anyhow::Result;

use super::{Session, print_note};
use crate::args::Tail;
use crate::client::{escaped, of_answer};
use crate::message::Line;
use crate::output::Format;
use crate::problem::{Exit, Problem};
use crate::sink::reader_gone;

/// Refuses a removed option, before connecting to a running Weir.
pub(crate) fn check(command: &Tail) -> Result<(), Problem> {
    if !command.from_exit {
        return Ok(());
    }
    let count = command.count.map(|count| format!(" --count {count}")).unwrap_or_default();
    Err(Problem::new(Exit::Usage, "`weir tail` does not remove messages: --from-exit is no longer supported")
        .next(format!("use weir take {} {}{count}, which acknowledges each message once it is written", command.flow, command.interface)))
}

/// Prints messages until the count or the idle time is reached, or the reader of the output exits.
pub(crate) async fn run(session: &Session, command: Tail) -> Result<()> {
    let mut path = format!("/api/v1/weir/flows/{}/taps/{}", escaped(&command.flow), escaped(&command.interface));
    let count = command.count.map(|count| format!("count={count}"));
    let wait = command.idle_ms.map(|wait| format!("wait-ms={wait}"));
    let query: Vec<String> = count.into_iter().chain(wait).collect();
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let gone = reader_gone()?;
    let mut lines = session.client.lines(&path).await?;
    loop {
        let next = tokio::select! {
            biased;
            () = gone.cancelled() => return Ok(()),
            next = lines.next() => next?,
        };
        let Some(line) = next else { return Ok(()) };
        print(session.format, &line)?;
    }
}

/// Prints a line of a stream of messages: its body, or for programs the whole line, byte for byte. Returns an error line as an error.
pub(crate) fn print(format: Format, line: &[u8]) -> Result<()> {
    let read = Line::read(line)?;
    if let Some(error) = read.error() {
        return Err(of_answer(error).into());
    }
    if let Some(missed) = read.missed.filter(|_| format == Format::Text) {
        match missed {
            Some(count) => print_note(&format!("{count} messages passed too fast to be shown")),
            None => print_note("the connection to the broker was lost; messages that passed in the meantime are not shown"),
        }
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    if format == Format::Text && read.is_message() {
        read.write_body(&mut bytes);
    } else {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    Ok(std::io::stdout().lock().write_all(&bytes)?)
}
