//! The client of a running Weir's gateway.

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_config::DISK_FULL;
use weir_gateway::protocol::{ErrorAnswer, ErrorBody};
use weir_gateway::{RemoteError, RemoteGateway, TokenReach, Trust};

use crate::args::Reach;
use crate::folder::{read_note, read_token};
use crate::problem::{Exit, Problem};
use crate::token::Secret;

/// The fix after a request to a service that may have been executed.
pub(crate) const CHECK_WHETHER_DONE: &str =
    "check whether it was done before repeating it: weir flow list shows the flows, weir config list the configuration";

/// Longer than the gateway waits for its services, so that its own error arrives.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(330);
/// A connection to the gateway.
pub(crate) struct Client {
    gateway: RemoteGateway,
    /// The source of the address, for errors.
    from: String,
    /// The command that starts `weir up` on the same folder, for errors.
    up: String,
    /// The token for the gateway, if any.
    token: Option<Secret>,
}

/// The data needed to reach a gateway.
struct Target {
    url: String,
    from: String,
    token: Option<Secret>,
    trust: Trust,
    reach: TokenReach,
}

impl Client {
    /// Finds the gateway's address: the given one, otherwise the one recorded in the data folder; and its token: the given one, otherwise that of the
    /// folder, which is only sent to the address recorded in the same folder. A certificate recorded there is trusted.
    pub(crate) fn find(reach: &Reach, data: &Path) -> Result<Self, Problem> {
        let up = format!("weir up{}", data_option(data));
        let given = Secret::of_environment()?;
        let target = match &reach.gateway {
            Some(url) => Target {
                url: url.clone(),
                from: "--gateway or WEIR_GATEWAY".to_owned(),
                token: given,
                trust: reach.ca.clone().map_or(Trust::System, Trust::Authorities),
                reach: TokenReach::Encrypted,
            },
            None => noted(data, given, &up)?,
        };
        let Target { url, from, token, trust, reach } = target;
        // A token that is not valid in a header would look like a broken connection.
        token.as_ref().map(Secret::to_token).transpose()?;
        let gateway = RemoteGateway::new(&url, &trust, token.as_ref().map(Secret::text), reach).map_err(unusable)?;
        Ok(Client { gateway, from, up, token })
    }

    /// The gateway's address.
    pub(crate) fn url(&self) -> &str {
        self.gateway.url()
    }

    /// Reads a resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let response = self.request(Method::GET, path).timeout(RESPONSE_TIMEOUT).send().await.map_err(|error| self.unread(error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unread(error))?;
        self.parsed(status, &body)
    }

    /// Whether the gateway and the services behind it answer: `None`, or why they do not.
    pub(crate) async fn readiness_problem(&self) -> Result<Option<String>, Problem> {
        let response = self.begin(self.request(Method::GET, "/readyz").timeout(RESPONSE_TIMEOUT)).await?;
        if response.status().is_success() {
            return Ok(None);
        }
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        match (answer["reason"].as_str(), serde_json::from_value(answer["error"].clone())) {
            (Some(reason), _) => Ok(Some(reason.to_owned())),
            (None, _) if status == StatusCode::UNAUTHORIZED => Err(self.unauthorized()),
            (None, Ok(error)) => Err(of_answer(&error)),
            (None, Err(_)) => Err(self.no_gateway(&format!("it answered with status {status}"))),
        }
    }

    /// Sends a request to the config service, the flow service, or an interface of a flow.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: impl Into<Body>) -> Result<T, Problem> {
        let request = self.request(Method::POST, path).timeout(RESPONSE_TIMEOUT).header("content-type", "application/json");
        self.answer(request.body(body)).await
    }

    /// Sends a request to the flow service.
    pub(crate) async fn ask_flow(&self, request: &Value) -> Result<Value, Problem> {
        self.post("/api/v1/flow", request.to_string()).await
    }

    /// Sends a body of any size and media type, without a time limit.
    pub(crate) async fn upload(&self, path: &str, media_type: &str, body: Body) -> Result<Response, Problem> {
        self.begin(self.request(Method::POST, path).header("content-type", media_type).body(body)).await
    }

    /// Reads the bytes of a resource, without a time limit.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Bytes, Problem> {
        let response = self.request(Method::GET, path).send().await.map_err(|error| self.unread(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        response.bytes().await.map_err(|error| self.unread(error))
    }

    /// Starts reading JSON Lines, without a time limit.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, Problem> {
        self.lines_in(self.request(Method::GET, path).send().await.map_err(|error| self.unread(error))?).await
    }

    /// The same for the response to a JSON body.
    pub(crate) async fn lines_of(&self, path: &str, body: Vec<u8>) -> Result<Lines, Problem> {
        self.read_lines(self.request(Method::POST, path).header("content-type", "application/json").body(body)).await
    }

    /// The same for the response to a body of any size and media type, while that is still being sent.
    pub(crate) async fn lines_of_stream(&self, path: &str, media_type: &str, body: Body) -> Result<Lines, Problem> {
        self.read_lines(self.request(Method::POST, path).header("content-type", media_type).body(body)).await
    }

    async fn read_lines(&self, request: RequestBuilder) -> Result<Lines, Problem> {
        self.lines_in(self.begin(request).await?).await
    }

    async fn lines_in(&self, response: Response) -> Result<Lines, Problem> {
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(Lines { response, buffer: BytesMut::new() })
    }

    /// Reads a response, which may be an error with any status.
    pub(crate) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Problem> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        self.parsed(status, &body)
    }

    fn parsed<T: DeserializeOwned>(&self, status: StatusCode, body: &[u8]) -> Result<T, Problem> {
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.unauthorized());
        }
        if let Ok(ErrorAnswer { error }) = serde_json::from_slice(body) {
            return Err(of_answer(&error));
        }
        if !status.is_success() {
            return Err(self.no_gateway(&format!("it answered with status {status}")));
        }
        serde_json::from_slice(body).map_err(|error| self.no_gateway("its answer does not have the expected form").because(error))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.gateway.request(method, path)
    }

    async fn begin(&self, request: RequestBuilder) -> Result<Response, Problem> {
        request.send().await.map_err(|error| self.unreachable(error))
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Problem> {
        let response = self.begin(request).await?;
        self.read(response).await
    }

    async fn refused(&self, response: Response) -> Problem {
        match self.read::<Value>(response).await {
            Err(problem) => problem,
            Ok(_) => self.no_gateway("its answer does not have the expected form"),
        }
    }

    fn no_gateway(&self, why: &str) -> Problem {
        Problem::new(Exit::Unavailable, format!("the server at {} (from {}) is not a gateway of this Weir: {why}", self.url(), self.from))
            .next("check the address, and that `weir` and the running Weir have the same version")
    }

    fn unauthorized(&self) -> Problem {
        let what = match &self.token {
            Some(token) => format!("Weir at {} rejects the token of {}", self.url(), token.from()),
            None => format!("Weir at {} requires a token; none was given", self.url()),
        };
        Problem::new(Exit::NoPermission, what)
            .next("set WEIR_TOKEN to the token that its `weir up` was started with, or give its data folder, which stores it: --data DIR")
    }

    fn unreachable(&self, error: reqwest::Error) -> Problem {
        if let Some(fault) = RemoteGateway::tls_fault(&error) {
            let what = format!("Weir at {} (from {}) cannot be trusted: {fault}", self.url(), self.from);
            return Problem::new(Exit::Unavailable, what).next(fault.next());
        }
        let problem = if error.is_timeout() && !error.is_connect() {
            Problem::new(Exit::Unavailable, format!("Weir at {} did not answer in time; the request may still be executed", self.url()))
        } else if error.is_connect() {
            Problem::new(Exit::Unavailable, format!("Weir cannot be reached at {} (from {})", self.url(), self.from))
                .next(format!("start it: {}; or select a running one: --data DIR or --gateway URL", self.up))
        } else {
            Problem::new(
                Exit::Unavailable,
                format!("the connection to Weir at {} was lost; the request may have been executed", self.url()),
            )
        };
        problem.because(error.without_url())
    }

    /// As [`Client::unreachable`] for a request that changes nothing.
    fn unread(&self, error: reqwest::Error) -> Problem {
        if error.is_connect() || RemoteGateway::tls_fault(&error).is_some() {
            return self.unreachable(error);
        }
        let what = if error.is_timeout() { "did not answer in time" } else { "did not send a complete answer: the connection was lost" };
        Problem::new(Exit::Unavailable, format!("Weir at {} {what}", self.url()))
            .next(format!("repeat the command: nothing was changed. If Weir has stopped, start it again: {}", self.up))
            .because(error.without_url())
    }
}

/// What is recorded in a data folder: the address, the certificate, and the token unless another one was given.
fn noted(data: &Path, given: Option<Secret>, up: &str) -> Result<Target, Problem> {
    if data.exists() && !data.is_dir() {
        let what = format!("the data folder {} is not a folder", data.display());
        return Err(Problem::new(Exit::NoFolder, what).next("choose another: --data DIR"));
    }
    let place = data.join("gateway.json");
    let note = read_note(data)
        .map_err(|error| Problem::new(Exit::Unavailable, format!("{} cannot be read", place.display())).because(error))
        .map_err(|problem| problem.next("run this as Weir's user; weir doctor shows more"))?;
    let note = note.ok_or_else(|| {
        Problem::new(Exit::Unavailable, format!("no Weir is running on the data folder {}", data.display()))
            .next(format!("start it: {up}; or select a running one: --data DIR or --gateway URL"))
    })?;
    let token = given.map_or_else(|| read_token(data), |given| Ok(Some(given)))?;
    let trust = note.certificate.map_or(Trust::System, Trust::Certificate);
    Ok(Target { url: note.url, from: place.display().to_string(), token, trust, reach: TokenReach::Noted })
}

/// The problem of a gateway to which requests cannot be sent.
fn unusable(error: RemoteError) -> Problem {
    let (exit, next) = match &error {
        RemoteError::BadUrl { .. } => (Exit::Usage, "for example --gateway http://127.0.0.1:8088 or --gateway https://weir.example:8088"),
        RemoteError::UserInfo { .. } => (Exit::Usage, "remove them from the address, and pass a token in WEIR_TOKEN or with --token-file"),
        RemoteError::TokenInClear { .. } => (Exit::Usage, "use an https:// address in --gateway, or unset WEIR_TOKEN"),
        RemoteError::UnreadableAuthorities { .. } => {
            (Exit::NoInput, "check the path of --ca or WEIR_CA; it is relative to the current directory")
        }
        RemoteError::BadAuthorities { .. } => (Exit::BadInput, "give a PEM file with the CA certificate: --ca FILE"),
        _ => (Exit::Failed, "give a PEM file with the CA certificate: --ca FILE"),
    };
    let what = error.to_string();
    let problem = Problem::new(exit, what).next(next);
    match std::error::Error::source(&error) {
        Some(source) => problem.because(anyhow::Error::msg(weir_pubsub::chain(source))),
        None => problem,
    }
}

/// ` --data DIR` if it is not the default.
pub(crate) fn data_option(data: &Path) -> String {
    if data == Path::new(crate::args::DEFAULT_DATA) { String::new() } else { format!(" --data {}", data.display()) }
}

/// Characters without a special meaning in paths are not escaped.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A part of a path, with all special characters escaped.
pub(crate) fn escaped(part: &str) -> String {
    utf8_percent_encode(part, PLAIN).to_string()
}

/// An error of the gateway or of a service, as a problem with an exit code.
pub(crate) fn of_answer(error: &ErrorBody) -> Problem {
    let exit = match error.kind.as_str() {
        "bad-component" | "not-json" | "too-large" | "bad-request" | "wrong-content-type" => Exit::BadInput,
        "insufficient-scope" => Exit::NoPermission,
        "tls-required" => Exit::Usage,
        "unavailable" | "shutting-down" | "timed-out" | "queue-full" | "outcome-unknown" => Exit::Unavailable,
        _ if error.message.contains(DISK_FULL) => Exit::Unavailable,
        _ => Exit::Failed,
    };
    let problem = Problem::new(exit, error.message.clone());
    match error.kind.as_str() {
        "queue-full" => problem.next(
            "wait until messages are processed, or free disk space if the disk is full (weir doctor shows which), then send it again",
        ),
        _ if error.message.contains(DISK_FULL) => problem.next("free space on the disk of the data folder, then repeat the command"),
        "lease-ended" => {
            problem.next("`weir take` was suspended, or the reader of its output stalled: run it again with a longer lease (--lease 10m)")
        }
        // A stopped flow has no messages left, so nothing is redelivered.
        "flow-stopped" => problem.next("see which flows run: weir status"),
        "insufficient-scope" => problem.next("set WEIR_TOKEN to a token of that scope, or give the data folder of that Weir: --data DIR"),
        "tls-required" => problem.next("use https:// in --gateway, and --ca FILE unless the system trusts the certificate"),
        "outcome-unknown" => problem.next("check with `weir status` whether it arrived before sending it again"),
        "timed-out" => problem.next(CHECK_WHETHER_DONE),
        _ => problem,
    }
}

/// Lines of a response.
pub(crate) struct Lines {
    response: Response,
    buffer: BytesMut,
}

impl Lines {
    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let mut searched = 0;
        loop {
            if let Some(end) = line_end(&self.buffer[searched..]) {
                let mut line = self.buffer.split_to(searched + end);
                line.truncate(searched + end - 1);
                return Ok(Some(line.freeze()));
            }
            searched = self.buffer.len();
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    /// All lines that have arrived, at least one, each with its line end; `None` at the end.
    pub(crate) async fn next_all(&mut self) -> Result<Option<BytesMut>, Problem> {
        let mut searched = 0;
        loop {
            if let Some(last) = self.buffer[searched..].iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.buffer.split_to(searched + last + 1)));
            }
            searched = self.buffer.len();
            if !self.read_on().await? {
                return Ok(None);
            }
        }
    }

    /// Reads on; `false` at the end.
    async fn read_on(&mut self) -> Result<bool, Problem> {
        let chunk = self.response.chunk().await.map_err(|error| {
            Problem::new(Exit::Unavailable, "the stream ended early: Weir was stopped, or the connection was lost")
                .because(error.without_url())
        })?;
        match &chunk {
            Some(chunk) => self.buffer.extend_from_slice(chunk),
            None if self.buffer.is_empty() => {}
            None => return Err(Problem::new(Exit::Unavailable, "the stream ended in the middle of a line")),
        }
        Ok(chunk.is_some())
    }
}

/// The length of the first line with its end; `None` if there is no line end.
pub(crate) fn line_end(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    // Faster than a loop over the bytes; reading from memory cannot fail.
    let length = bytes.skip_until(b'\n').ok()?;
    all[..length].ends_with(b"\n").then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths_are_escaped() {
        assert_eq!(escaped("a-b_1.x~"), "a-b_1.x~");
        assert_eq!(escaped("a/b c?ä"), "a%2Fb%20c%3F%C3%A4");
    }
}
