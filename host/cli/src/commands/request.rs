//! `weir request`: sends a request to an interface of a flow and prints its answer, part by part.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Result;

use super::{Session, check_json, tail};
use crate::args::Request;
use crate::client::{CHECK_WHETHER_DONE, escaped};
use crate::input::read_input;
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// Runs the command.
pub(crate) async fn run(session: &Session, command: Request) -> Result<()> {
    let body = body(command.body.as_deref())?;
    let mut path = format!("/api/v1/weir/flows/{}/interfaces/{}/requests", escaped(&command.flow), escaped(&command.interface));
    if let Some(timeout) = command.timeout {
        path = format!("{path}?timeout-ms={}", timeout.as_millis());
    }
    let what = format!("waiting for {} of flow {}", command.interface, command.flow);
    let asked = during(session.format, &what, &Counter::default(), session.client.lines_of(&path, body)).await;
    let mut lines = asked.map_err(|problem| match problem.exit {
        // The services do not show the effect of a request to an interface, so their next step does not apply.
        Exit::Unavailable if problem.next_step().is_none_or(|next| next == CHECK_WHETHER_DONE) => {
            problem.next(format!("check its processors: weir flow show {}", command.flow))
        }
        _ => problem,
    })?;
    // The progress line is removed before a part of the answer is printed in its place.
    while let Some(line) = during(session.format, &what, &Counter::default(), lines.next()).await? {
        tail::print(session.format, &line)?;
    }
    Ok(())
}

/// The request: as given, or from standard input.
fn body(given: Option<&str>) -> Result<Vec<u8>, Problem> {
    const HINT: &str = "for example weir request FLOW INTERFACE \'{\"text\": \"hello\"}\'";
    let (bytes, what) = match given {
        Some("-") => (read_input(Path::new("-"))?, "standard input"),
        None if std::io::stdin().is_terminal() => return Err(Problem::new(Exit::Usage, "the request is empty").next(HINT)),
        None => (read_input(Path::new("-"))?, "standard input"),
        Some(text) => (text.as_bytes().to_vec(), "the request"),
    };
    check_json(&bytes, what).map_err(|problem| problem.or_next(HINT))?;
    Ok(bytes)
}
