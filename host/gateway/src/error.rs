//! Errors between a caller and Weir, with the status and the type that callers receive.

use axum::http::StatusCode;
use weir_config::ConfigError;
use weir_config::records::Digest;
use weir_pubsub::{NameError, PubsubError, chain};

use crate::error_status::{kind_of_broker, kind_of_config};
use crate::protocol::ErrorBody;
use crate::scope::Scope;
use crate::store_fault::StoreFault;

/// The result of a request.
pub(crate) type Result<T, E = GatewayError> = std::result::Result<T, E>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// It has no token, and this gateway requires one.
    #[error("this gateway requires a token; none was sent: send the header `Authorization: Bearer TOKEN`; {}", TOKEN_ADVICE)]
    MissingToken,
    /// Its token is not valid here.
    #[error("the token is not valid for this gateway; {}", TOKEN_ADVICE)]
    WrongToken,
    /// Its token does not permit it.
    #[error("{what} requires a token of scope `{needed}`; the token of this request has scope `{scope}`: use one of scope `{needed}`")]
    SmallScope {
        /// The operation.
        what: String,
        /// The required scope.
        needed: Scope,
        /// The scope of the token.
        scope: Scope,
    },
    /// It was sent without TLS to a port with TLS.
    #[error("this port requires TLS: use https:// in the address, or wss:// for a WebSocket")]
    NotTls,
    /// A web page sent it.
    #[error(
        "refused: the request has `Origin: {origin}`, so a web page sent it, and it has no token; a web page must send the gateway's token"
    )]
    ForeignOrigin {
        /// The header's value.
        origin: String,
    },
    /// A browser sent it on behalf of a page of another site.
    #[error(
        "refused: the request has `Sec-Fetch-Site: {site}`, so a web page of another site caused it, and it has no token; open the address \
             directly, or send the gateway's token"
    )]
    ForeignSite {
        /// The header's value.
        site: String,
    },
    /// Its `Host` header names another machine.
    #[error("refused: `Host: {host}` is not this machine; use localhost, 127.0.0.1 or [::1]")]
    ForeignHost {
        /// The header's value.
        host: String,
    },
    /// The content type of the body is not the one that the path accepts.
    #[error("the body is `{actual}`; this path accepts {expected}: set the header `Content-Type`")]
    WrongContentType {
        /// The accepted type.
        expected: &'static str,
        /// The given type.
        actual: String,
    },
    /// The body is larger than the path accepts.
    #[error("the body {}; this path accepts at most {limit_bytes}", size(*.actual_bytes))]
    BodyTooLarge {
        /// Its size, if announced.
        actual_bytes: Option<u64>,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A request to a service is larger than a message may be.
    #[error(
        "a request to {service} may have {limit_bytes} bytes, this one has {actual_bytes}: split it into several; keep larger values in a \
             file or another store"
    )]
    RequestTooLarge {
        /// Which service.
        service: &'static str,
        /// The request's size.
        actual_bytes: u64,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// A line of a body is larger than a message may be.
    #[error("line {number} has more than {limit_bytes} bytes, the limit of a message")]
    LineTooLarge {
        /// Its number, from 1.
        number: u64,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The body did not arrive, or was incomplete.
    #[error("the body could not be read: {problem}")]
    BodyBroken {
        /// Why, for people.
        problem: String,
    },
    /// Something is not JSON.
    #[error("{what} is not JSON")]
    NotJson {
        /// The item, for example `the body` or `line 3`.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A message of a WebSocket is above the limit.
    #[error("{what} has {actual_bytes} bytes; the limit is {limit_bytes}")]
    MessageTooLarge {
        /// Which.
        what: String,
        /// Its size, as far as it was read.
        actual_bytes: usize,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A WebSocket message is not text.
    #[error("{what} is binary: send JSON as text")]
    BinaryMessage {
        /// Which.
        what: String,
    },
    /// The service does not exist.
    #[error("service `{service}` does not exist: use `config` or `flow`, or with the field `flow` an interface of that flow")]
    UnknownService {
        /// The requested service.
        service: String,
    },
    /// A reader of a tap was too slow.
    #[error("{missed_count} messages were missed because they arrived faster than they were read")]
    Missed {
        /// How many.
        missed_count: u64,
    },
    /// The maximum of open WebSockets is reached.
    #[error("{limit_count} WebSockets are open, the maximum: close some, or try again later")]
    TooManySockets {
        /// How many may be open.
        limit_count: usize,
    },
    /// Requests and responses of all callers use the maximum of memory.
    #[error(
        "the gateway already holds nearly {limit_bytes} bytes of requests and answers, and at most {limit_bytes} are allowed: try again in a \
         moment, send and request less at a time, or raise the setting `gateway.max-held-bytes`"
    )]
    Overloaded {
        /// How many may be held.
        limit_bytes: usize,
    },
    /// All connections are in use.
    #[error(
        "all {limit_count} connections of the gateway are in use: close some, try again in a moment, or raise the setting \
         `gateway.max-connections`"
    )]
    TooManyConnections {
        /// How many may be open.
        limit_count: usize,
    },
    /// A field has a value that is not accepted.
    #[error("{field}: {problem}")]
    BadField {
        /// Which.
        field: String,
        /// The problem and the fix.
        problem: String,
    },
    /// The path does not exist.
    #[error("{method} {path} does not exist; docs/wire.md lists the paths")]
    UnknownPath {
        /// The requested method.
        method: String,
        /// The requested path.
        path: String,
    },
    /// The path exists, but not for this method.
    #[error("{method} {path} is not supported: {next}")]
    WrongMethod {
        /// The requested method.
        method: String,
        /// The requested path.
        path: String,
        /// The alternative.
        next: String,
    },
    /// A lease on messages of an exit has ended, or there never was one of this id.
    #[error(
        "lease {lease} has ended: it expired, its stream was closed, the flow was stopped, or no lease has this id; unacknowledged messages \
             are redelivered: take them under a new lease"
    )]
    LeaseEnded {
        /// Its id.
        lease: String,
    },
    /// The flow does not exist.
    #[error("there is no flow `{flow}`; {}", listed("flows", .known))]
    UnknownFlow {
        /// Its id.
        flow: String,
        /// The existing ones.
        known: Vec<String>,
    },
    /// The flow has stopped, or is stopping.
    #[error("flow `{flow}` was stopped; `weir flow start` starts it again")]
    FlowStopped {
        /// Its id.
        flow: String,
    },
    /// The flow is being stopped, unless it holds messages.
    #[error(
        "flow `{flow}` is being stopped, unless it still holds messages: try again in a moment; `weir flow show {flow}` shows its state"
    )]
    FlowStopping {
        /// Its id.
        flow: String,
    },
    /// The flow is still being started.
    #[error("flow `{flow}` is being started: try again in a moment; `weir flow show {flow}` shows its state")]
    FlowStarting {
        /// Its id.
        flow: String,
    },
    /// The gateway's follower cannot fetch.
    #[error("the gateway has not read version {version} of the configuration yet: try again in a moment; `GET /readyz` shows the cause")]
    Behind {
        /// The required version.
        version: u64,
    },
    /// The flow has no such interface.
    #[error("flow `{flow}` has no interface `{interface}`; {}", listed("interfaces", .known))]
    UnknownInterface {
        /// The flow.
        flow: String,
        /// The requested interface.
        interface: String,
        /// The existing ones.
        known: Vec<String>,
    },
    /// The interface cannot do this.
    #[error("interface `{interface}` of flow `{flow}` {problem}")]
    WrongInterface {
        /// The flow.
        flow: String,
        /// Its interface.
        interface: String,
        /// Why not, and what to do instead.
        problem: String,
    },
    /// The flow answered with an error.
    #[error("flow `{flow}` answered with an error ({kind}): {said}")]
    RequestFailed {
        /// The flow.
        flow: String,
        /// The type of its error.
        kind: String,
        /// Its message.
        said: String,
    },
    /// The file is not a component that a host can run.
    #[error("the file cannot be deployed: {problem}")]
    BadComponent {
        /// The problem and the fix.
        problem: String,
    },
    /// The version is used by another file.
    #[error("{key} is already used by another file ({taken}, yours is {given}): deploy yours under another version")]
    VersionTaken {
        /// `NAME@VERSION`.
        key: String,
        /// The digest of the deployed file.
        taken: Digest,
        /// The digest of the given file.
        given: Digest,
    },
    /// The version was deployed with other limits.
    #[error(
        "{key} is deployed with other limits, and a version never changes: {}; deploy it under another version, or, if no flow runs it, \
         remove it first: weir components remove {key}",
        .differences.join(", ")
    )]
    VersionFixed {
        /// `NAME@VERSION`.
        key: String,
        /// The difference.
        differences: Vec<String>,
    },
    /// The record of a deployment cannot be used.
    #[error(
        "the deployment {key} cannot be used: {problem}; deploy it under another version, or, if no flow runs it, remove it first: weir components remove {key}"
    )]
    BadDeployment {
        /// `NAME@VERSION`.
        key: String,
        /// The problem.
        problem: String,
    },
    /// No such deployment.
    #[error("deployment {key} does not exist; weir components lists all deployments")]
    UnknownDeployment {
        /// `NAME@VERSION`.
        key: String,
    },
    /// The store has no such component.
    #[error("component {digest} is not in the store; deploy it with `weir deploy`")]
    UnknownComponent {
        /// Its digest.
        digest: Digest,
    },
    /// The deployment is named by entries.
    #[error("{component} is in use by {entries}: stop these flows, or swap their processors to another component, then remove it")]
    ComponentInUse {
        /// `NAME@VERSION`.
        component: String,
        /// The entries.
        entries: String,
    },
    /// The folder of compiled code cannot be read.
    #[error("the folder of compiled code cannot be read")]
    CompiledCode(#[source] std::io::Error),
    /// The dead letter does not exist.
    #[error("dead letter `{letter}` does not exist; `weir dead-letters list` shows all of them")]
    UnknownDeadLetter {
        /// Its position or id.
        letter: String,
    },
    /// Another gateway stores the components, and this request did not reach it.
    #[error(transparent)]
    StoreElsewhere(#[from] StoreFault),
    /// The store of components failed.
    #[error("the store of components failed")]
    ComponentStore(#[source] ConfigError),
    /// The broker refused or failed.
    #[error("{what}")]
    Broker {
        /// The operation.
        what: String,
        /// Why it failed.
        #[source]
        source: PubsubError,
    },
    /// The config service refused or failed.
    #[error("the configuration could not be read or written")]
    Config(#[source] ConfigError),
    /// The request took too long.
    #[error("not completed within {limit_s} s; it may still be executed")]
    TimedOut {
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The gateway is shutting down.
    #[error("Weir is shutting down")]
    ShuttingDown,
    /// The gateway is shutting down and cannot wait for the answer.
    #[error(
        "Weir is shutting down and did not wait for the answer: the request may have been handled; check, then send it again once Weir is \
             running"
    )]
    CutOff,
    /// Something that must not happen did.
    #[error("{what} failed because of a bug in Weir; see the log")]
    Broken {
        /// The operation.
        what: &'static str,
    },
}

/// Where to get a token, for callers with none or a wrong one.
const TOKEN_ADVICE: &str = "it is the one that `weir up` was started with. For a WebSocket, append `?token=TOKEN` to the address; the \
     command line reads WEIR_TOKEN, TrustGraph's tools read TRUSTGRAPH_TOKEN";

fn size(actual_bytes: Option<u64>) -> String {
    actual_bytes.map_or_else(|| "is too large".to_owned(), |bytes| format!("has {bytes} bytes"))
}

fn listed(what: &str, names: &[String]) -> String {
    const SHOWN: usize = 20;
    match names.len() {
        0 => format!("there are no {what}"),
        count if count > SHOWN => format!("there are {count} {what}, among them {}", names[..SHOWN].join(", ")),
        _ => format!("{what}: {}", names.join(", ")),
    }
}

impl GatewayError {
    /// For `map_err`: an error of the broker, with the operation.
    pub(crate) fn broker(what: impl Into<String>) -> impl FnOnce(PubsubError) -> Self {
        let what = what.into();
        move |source| GatewayError::Broker { what, source }
    }

    /// For `map_err`: the topicspace cannot be used in a name.
    pub(crate) fn topicspace(error: NameError) -> Self {
        GatewayError::BadField { field: "topicspace".to_owned(), problem: error.to_string() }
    }

    /// The HTTP status and the error's type for programs.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            GatewayError::MissingToken | GatewayError::WrongToken => (StatusCode::UNAUTHORIZED, "unauthorized"),
            GatewayError::NotTls => (StatusCode::BAD_REQUEST, "tls-required"),
            GatewayError::SmallScope { .. } => (StatusCode::FORBIDDEN, "insufficient-scope"),
            GatewayError::ForeignOrigin { .. } | GatewayError::ForeignSite { .. } | GatewayError::ForeignHost { .. } => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            GatewayError::WrongContentType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-content-type"),
            GatewayError::BodyTooLarge { .. }
            | GatewayError::RequestTooLarge { .. }
            | GatewayError::LineTooLarge { .. }
            | GatewayError::MessageTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            GatewayError::BodyBroken { .. } => (StatusCode::BAD_REQUEST, "body-broken"),
            GatewayError::NotJson { .. } => (StatusCode::BAD_REQUEST, "not-json"),
            GatewayError::BadField { .. } | GatewayError::BinaryMessage { .. } => (StatusCode::BAD_REQUEST, "bad-request"),
            GatewayError::Missed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "missed"),
            GatewayError::TooManySockets { .. } | GatewayError::TooManyConnections { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            GatewayError::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            GatewayError::UnknownPath { .. }
            | GatewayError::UnknownFlow { .. }
            | GatewayError::UnknownInterface { .. }
            | GatewayError::UnknownService { .. }
            | GatewayError::UnknownComponent { .. }
            | GatewayError::UnknownDeployment { .. }
            | GatewayError::UnknownDeadLetter { .. } => (StatusCode::NOT_FOUND, "not-found"),
            GatewayError::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "wrong-method"),
            GatewayError::LeaseEnded { .. } => (StatusCode::GONE, "lease-ended"),
            GatewayError::FlowStopped { .. } => (StatusCode::GONE, "flow-stopped"),
            GatewayError::FlowStarting { .. } | GatewayError::FlowStopping { .. } | GatewayError::Behind { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            GatewayError::WrongInterface { .. } => (StatusCode::BAD_REQUEST, "wrong-interface"),
            GatewayError::RequestFailed { .. } => (StatusCode::BAD_GATEWAY, "request-failed"),
            GatewayError::BadComponent { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad-component"),
            GatewayError::VersionTaken { .. } | GatewayError::VersionFixed { .. } | GatewayError::ComponentInUse { .. } => {
                (StatusCode::CONFLICT, "conflict")
            }
            GatewayError::BadDeployment { .. } => (StatusCode::CONFLICT, "bad-deployment"),
            GatewayError::Broker { source, .. } => kind_of_broker(source),
            GatewayError::Config(error) => kind_of_config(error),
            GatewayError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "timed-out"),
            GatewayError::StoreElsewhere(fault) => fault.kind(),
            GatewayError::CutOff => (StatusCode::SERVICE_UNAVAILABLE, "shutting-down"),
            GatewayError::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            GatewayError::ComponentStore(_) | GatewayError::CompiledCode(_) | GatewayError::Broken { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }

    /// The value of the header `WWW-Authenticate` if a token is missing, invalid or of too small a scope.
    pub(crate) fn wanted(&self) -> Option<&'static str> {
        match self {
            GatewayError::SmallScope { needed: Scope::Read, .. } => Some("Bearer error=\"insufficient_scope\", scope=\"read\""),
            GatewayError::SmallScope { needed: Scope::Operate, .. } => Some("Bearer error=\"insufficient_scope\", scope=\"operate\""),
            GatewayError::SmallScope { needed: Scope::Deploy, .. } => Some("Bearer error=\"insufficient_scope\", scope=\"deploy\""),
            GatewayError::MissingToken => Some("Bearer"),
            GatewayError::WrongToken => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }

    /// Whether the gateway is overloaded, regardless of the request.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, GatewayError::Overloaded { .. } | GatewayError::TooManySockets { .. } | GatewayError::TooManyConnections { .. })
    }

    /// Whether the broker is temporarily unreachable.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, GatewayError::Broker { source: PubsubError::Unavailable { .. }, .. })
    }

    /// The error as callers receive it: its type, and its message with all causes.
    pub fn to_body(&self) -> ErrorBody {
        ErrorBody { kind: self.kind().1.to_owned(), message: chain(self) }
    }
}
