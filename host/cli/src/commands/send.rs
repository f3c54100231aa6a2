//! `weir send`: sends messages into a flow, or one request to it.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_gateway::protocol::Imported;

use super::{Session, check_json};
use crate::args::Send;
use crate::client::{escaped, of_answer};
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// Maximum number of chunks read ahead of the gateway.
const READ_AHEAD_COUNT: usize = 64;
const PIECE_BYTES: usize = 64 << 10;
/// Keep-alive sent while the input pauses, and its interval: well below the shortest `gateway.body-time`.
const BLANK: &[u8] = b" ";
const BLANK_TIME: Duration = Duration::from_millis(500);
const NDJSON: &str = "application/x-ndjson";

/// Runs the command.
pub(crate) async fn run(session: &Session, command: Send) -> Result<()> {
    let files = inputs(&command)?;
    match (&command.text, files.as_slice()) {
        (Some(text), _) => one(session, &command, json!({"text": text}).to_string().into_bytes()).await,
        (None, [file]) if !command.each_line && !command.as_text && !file.is_dir() => {
            let bytes = read_input(file)?;
            check_json(&bytes, &shown(file)).map_err(|problem| {
                problem.or_next("add --each-line if each line is a message, or --as-text or --text if it is plain text")
            })?;
            one(session, &command, bytes).await
        }
        _ => {
            let mode = Mode::of(&command);
            many(session, &command, move |pieces| files.iter().try_for_each(|file| feed(file, mode, pieces))).await
        }
    }
}

fn inputs(command: &Send) -> Result<Vec<PathBuf>, Problem> {
    if !command.files.is_empty() || command.text.is_some() {
        return Ok(command.files.clone());
    }
    if std::io::stdin().is_terminal() {
        return Err(Problem::new(Exit::Usage, "nothing to send").next("give a FILE, `-` for standard input, or --text TEXT"));
    }
    Ok(vec![PathBuf::from("-")])
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// One message or one request.
async fn one(session: &Session, command: &Send, body: Vec<u8>) -> Result<()> {
    if command.ids {
        let line = Bytes::from(on_one_line(body));
        return many(session, command, move |pieces| pieces.blocking_send(line).map_err(|_| Stopped::Gateway)).await;
    }
    let path = format!("/api/v1/flow/{}/service/{}", escaped(&command.flow), escaped(&command.interface));
    let what = format!("sending to {} of flow {}", command.interface, command.flow);
    let answer: Value = during(session.format, &what, &Counter::default(), session.client.post(&path, body)).await?;
    // A `flow` interface answers `{}`; the answer of a request is shown unchanged.
    match session.format {
        Format::Text if answer == json!({}) => output::line("sent 1 message")?,
        _ => output::json(&answer)?,
    }
    Ok(())
}

/// Sends any number of messages, read no faster than they are stored.
async fn many<F>(session: &Session, command: &Send, feed: F) -> Result<()>
where
    F: FnOnce(&mpsc::Sender<Bytes>) -> Result<(), Stopped> + std::marker::Send + 'static,
{
    let (pieces, read) = mpsc::channel::<Bytes>(READ_AHEAD_COUNT);
    let reader = tokio::task::spawn_blocking(move || feed(&pieces));
    let sent = Counter::default();
    let body = Body::wrap_stream(stream::unfold((read, Begin::OfLine, sent.clone()), |(mut read, begin, sent)| async move {
        let piece = next_piece(&mut read, begin).await?;
        sent.add(piece.len() as u64);
        let begin = Begin::after(&piece, begin);
        Some((Ok::<_, std::io::Error>(piece), (read, begin, sent)))
    }));
    let answers = if command.ids { "?answers=true" } else { "" };
    let path = format!("/api/v1/weir/flows/{}/interfaces/{}/messages{answers}", escaped(&command.flow), escaped(&command.interface));
    let what = format!("sending to {} of flow {}", command.interface, command.flow);
    let answer = if command.ids {
        print_ids(session, &path, body).await?
    } else {
        let import = async {
            let response = session.client.upload(&path, NDJSON, body).await?;
            read_import(session, response).await
        };
        during(session.format, &what, &sent, import).await?
    };
    if let Some(error) = answer.error {
        let mut stored = format!("messages stored before it: {}", output::number(answer.count));
        if answer.unconfirmed_count > 0 {
            stored += &format!("; up to {} more may be stored too", output::number(answer.unconfirmed_count));
        }
        return Err(Problem::new(of_answer(&error).exit, format!("not everything was sent; {stored}")).because(of_answer(&error)).into());
    }
    // The gateway has received the end of the stream, so the reader is done.
    if let Err(Stopped::Input(problem)) = reader.await? {
        let stored = format!("sending ended early; messages stored before it: {}", output::number(answer.count));
        return Err(Problem::new(problem.exit, stored).because(problem).into());
    }
    match session.format {
        // Only the ids were requested.
        _ if command.ids => {}
        Format::Json => output::json(&json!({"count": answer.count}))?,
        Format::Text if answer.count == 1 => output::line("sent 1 message")?,
        Format::Text => output::line(&format!("sent {} messages", output::number(answer.count)))?,
    }
    Ok(())
}

/// Where in the body the next chunk begins.
#[derive(Clone, Copy)]
enum Begin {
    /// At the beginning of a line, where white space is ignored.
    OfLine,
    /// Within a line.
    WithinLine,
}

impl Begin {
    fn after(piece: &[u8], before: Begin) -> Begin {
        match piece.last() {
            Some(b'\n') => Begin::OfLine,
            _ if piece == BLANK => before,
            _ => Begin::WithinLine,
        }
    }
}

/// The next chunk of the body, or white space while there is none: the gateway disconnects a sender that stalls.
async fn next_piece(read: &mut mpsc::Receiver<Bytes>, begin: Begin) -> Option<Bytes> {
    match begin {
        Begin::OfLine => tokio::time::timeout(BLANK_TIME, read.recv()).await.unwrap_or(Some(Bytes::from_static(BLANK))),
        Begin::WithinLine => read.recv().await,
    }
}

/// Prints the id of each message as soon as it is stored, and returns the last line of the answer.
async fn print_ids(session: &Session, path: &str, body: Body) -> Result<Imported> {
    let mut lines = session.client.lines_of_stream(path, NDJSON, body).await?;
    let mut last = Imported::default();
    let mut stored_count = 0_u64;
    while let Some(line) = lines.next().await.map_err(|problem| cut_off(problem, stored_count))? {
        let answer: Value = serde_json::from_slice(&line)?;
        stored_count += u64::from(answer["id"].is_string());
        match (answer["id"].as_str(), session.format) {
            (None, _) => last = serde_json::from_value(answer)?,
            (Some(_), Format::Json) => output::line(&String::from_utf8_lossy(&line))?,
            (Some(id), Format::Text) => output::line(id)?,
        }
    }
    Ok(last)
}

/// The problem of a stream that was interrupted.
fn cut_off(problem: Problem, stored_count: u64) -> Problem {
    let what = format!("not everything was sent; messages that are known to be stored: {}", output::number(stored_count));
    Problem::new(problem.exit, what).because(problem).next("some of the following may be stored too; weir queues FLOW shows what arrived")
}

async fn read_import(session: &Session, response: reqwest::Response) -> Result<Imported, Problem> {
    let answer: Value = match response.status().is_success() {
        true => session.client.read(response).await?,
        false => {
            let bytes = response.bytes().await.unwrap_or_default();
            serde_json::from_slice(&bytes).unwrap_or_default()
        }
    };
    if answer.get("error").is_some() && answer.get("count").is_none() {
        let error = serde_json::from_value(answer["error"].clone());
        return Err(error.map_or_else(|_| Problem::new(Exit::Failed, "the gateway refused the messages"), |error| of_answer(&error)));
    }
    serde_json::from_value(answer).map_err(|error| Problem::new(Exit::Failed, "the gateway's answer cannot be read").because(error))
}

/// How a file becomes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each line, unchanged.
    Lines,
    /// The whole file as JSON.
    Json,
    /// The whole file as text.
    Text,
}

impl Mode {
    fn of(command: &Send) -> Self {
        match (command.each_line, command.as_text) {
            (true, _) => Mode::Lines,
            (false, true) => Mode::Text,
            (false, false) => Mode::Json,
        }
    }
}

/// Why reading ended before the end.
enum Stopped {
    /// The gateway accepts no more; its response has the reason.
    Gateway,
    /// The input is invalid.
    Input(Problem),
}

/// Reads a file, or all files of a folder, into the channel.
fn feed(file: &Path, mode: Mode, pieces: &mpsc::Sender<Bytes>) -> Result<(), Stopped> {
    let unreadable =
        |error: std::io::Error| Stopped::Input(Problem::new(Exit::NoInput, format!("{} cannot be read", shown(file))).because(error));
    if file.is_dir() {
        let mut inside =
            std::fs::read_dir(file).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
        if let Ok(inside) = &mut inside {
            inside.sort();
        }
        let hidden = |path: &&PathBuf| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        return inside.map_err(unreadable)?.iter().filter(hidden).try_for_each(|path| feed(path, mode, pieces));
    }
    match mode {
        Mode::Lines if file == Path::new("-") => feed_lines(std::io::stdin().lock(), pieces).map_err(unreadable)?,
        Mode::Lines => feed_lines(std::fs::File::open(file).map_err(unreadable)?, pieces).map_err(unreadable)?,
        Mode::Json | Mode::Text => {
            let bytes = read_input(file).map_err(Stopped::Input)?;
            let message = if mode == Mode::Json { as_line(file, bytes) } else { as_text(file, bytes) };
            return pieces.blocking_send(message.map_err(Stopped::Input)?).map_err(|_| Stopped::Gateway);
        }
    }
    Ok(())
}

/// Passes lines on in large chunks, the last line with its end, so that the next file begins on a new line.
fn feed_lines(input: impl Read, pieces: &mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut input = BufReader::with_capacity(PIECE_BYTES, input);
    loop {
        let piece = Bytes::copy_from_slice(input.fill_buf()?);
        let length = piece.len();
        let last = if length == 0 { Bytes::from_static(b"\n") } else { piece };
        if pieces.blocking_send(last).is_err() || length == 0 {
            return Ok(());
        }
        input.consume(length);
    }
}

fn as_line(file: &Path, bytes: Vec<u8>) -> Result<Bytes, Problem> {
    check_json(&bytes, &shown(file)).map_err(|problem| problem.or_next("add --as-text if the files are plain text"))?;
    Ok(Bytes::from(on_one_line(bytes)))
}

/// A JSON document as one line: a line end in it can only be white space between tokens.
fn on_one_line(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    bytes.push(b'\n');
    bytes
}

fn as_text(file: &Path, bytes: Vec<u8>) -> Result<Bytes, Problem> {
    let text = String::from_utf8(bytes)
        .map_err(|error| Problem::new(Exit::BadInput, format!("{} is not UTF-8 text", shown(file))).because(error))
        .map_err(|problem| problem.next("save it as UTF-8, or omit it"))?;
    let title = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut line = json!({"id": file.display().to_string(), "title": title, "text": text}).to_string();
    line.push('\n');
    Ok(Bytes::from(line))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn fed(path: &Path, mode: Mode) -> Result<String, String> {
        let (pieces, mut read) = mpsc::channel(100);
        let outcome = feed(path, mode, &pieces);
        drop(pieces);
        let mut all = Vec::new();
        while let Ok(piece) = read.try_recv() {
            all.extend_from_slice(&piece);
        }
        match outcome {
            Err(Stopped::Input(problem)) => Err(problem.to_string()),
            _ => Ok(String::from_utf8(all).unwrap()),
        }
    }

    #[test]
    fn a_folder_expands_to_its_visible_files_in_order() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("sub")).unwrap();
        for (name, content) in [("b.json", "{\n\"b\": 1}"), ("a.json", "1"), (".hidden", "x"), ("sub/c.json", "2")] {
            std::fs::write(temp.path().join(name), content).unwrap();
        }
        assert_eq!(fed(temp.path(), Mode::Json).unwrap(), "1\n{ \"b\": 1}\n2\n");
        assert_eq!(fed(temp.path(), Mode::Lines).unwrap(), "1\n{\n\"b\": 1}\n2\n");
    }

    #[test]
    fn text_becomes_a_message_with_its_path_and_name() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("note.txt");
        std::fs::write(&file, "one\ntwo").unwrap();
        let message: Value = serde_json::from_str(&fed(&file, Mode::Text).unwrap()).unwrap();
        assert_eq!(message, json!({"id": file.display().to_string(), "title": "note.txt", "text": "one\ntwo"}));
        assert_eq!(fed(&file, Mode::Json).unwrap_err(), format!("{} is not JSON", file.display()));
    }
}
