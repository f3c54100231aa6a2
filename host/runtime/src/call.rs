//! The component call in progress: what it works on, and what it has sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_pubsub::{CORRELATION_ID, Message, MessageId, Output, Properties, Replies};

use crate::output_budget::Charge;
use crate::variant::Variant;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being created, or between two calls.
    Idle,
    /// In `configure`.
    Setup,
    /// In `handle`.
    Handle,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerState {
    /// The message in flight is not a request.
    None,
    /// No part has been sent.
    Open,
    /// Some parts have been sent.
    Begun,
    /// The last part has been sent.
    Ended,
}

/// The call in progress.
pub(crate) struct Call {
    pub(crate) phase: Phase,
    pub(crate) input: usize,
    pub(crate) id: MessageId,
    pub(crate) attempt: u32,
    pub(crate) time: TimeLeft,
    /// The origin of sent messages; built once for each attempt number and version of the configuration.
    pub(crate) from: Arc<str>,
    from_key: (u32, u64),
    /// The trace context of the message in flight, for everything that is sent.
    pub(crate) trace: Properties,
    pub(crate) outputs: Vec<Output>,
    /// The account that these outputs are charged to.
    pub(crate) charge: Charge,
    /// Whether it was aborted while it waited for budget.
    pub(crate) has_yielded: bool,
    /// Messages sent in this call, by output.
    pub(crate) sent_counts: Vec<u32>,
    /// Requests of this call, including those that failed to begin: a failed one may have been stored nevertheless.
    pub(crate) requests_count: u32,
    pub(crate) sends_count: u32,
    pub(crate) sends_bytes: u64,
    /// Messages already published: those to topics of other classes than `flow`.
    pub(crate) already_sent_count: u32,
    pub(crate) dropped_count: u32,
    /// The correlation id of the answer to the request in flight.
    pub(crate) correlation: Option<String>,
    pub(crate) answer: AnswerState,
    /// The requests of this call, by their number.
    pub(crate) begun: Vec<BegunRequest>,
}

/// A request that a component began.
pub(crate) enum BegunRequest {
    /// In flight.
    Open(Replies),
    /// Its last part was taken.
    Complete,
    /// It ended with an error, and is not a request any more.
    Failed,
}

/// The time of a call. It is counted from the first use: most calls end before the clock is read, and one that does not has yielded, and
/// thereby read it, within a tick of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLeft {
    limit: Duration,
    end: Option<Instant>,
}

impl TimeLeft {
    pub(crate) fn of(limit: Duration) -> Self {
        TimeLeft { limit, end: None }
    }

    pub(crate) fn left(&mut self) -> Duration {
        let now = Instant::now();
        self.end.get_or_insert_with(|| now + self.limit).saturating_duration_since(now)
    }

    /// Excludes a wait that does not count.
    pub(crate) fn extend(&mut self, waited: Duration) {
        self.end = self.end.map(|end| end + waited);
    }
}

/// The properties of the trace context, which is propagated.
pub(crate) const TRACE_PROPERTIES: [&str; 2] = ["traceparent", "tracestate"];

impl Call {
    /// No call yet; for an instance with this many outputs.
    pub(crate) fn new(outputs_count: usize) -> Self {
        Call {
            phase: Phase::Idle,
            input: 0,
            id: MessageId(0),
            attempt: 0,
            time: TimeLeft::of(Duration::ZERO),
            from: "".into(),
            from_key: (0, 0),
            trace: Properties::new(),
            outputs: Vec::new(),
            charge: Charge::default(),
            has_yielded: false,
            sent_counts: vec![0; outputs_count],
            requests_count: 0,
            sends_count: 0,
            sends_bytes: 0,
            already_sent_count: 0,
            dropped_count: 0,
            correlation: None,
            answer: AnswerState::None,
            begun: Vec::new(),
        }
    }

    /// Begins to handle a message.
    pub(crate) fn begin(&mut self, variant: &Variant, input: usize, message: &Message, attempt: u32, version: u64) {
        self.phase = Phase::Handle;
        self.input = input;
        self.id = message.id.unwrap_or(MessageId(0));
        self.attempt = attempt;
        self.time = TimeLeft::of(Duration::from_millis(variant.limits.time_ms));
        if self.from_key != (attempt, version) {
            self.from = format!("{} {} {version} {attempt}", variant.processor, variant.short_digest).into();
            self.from_key = (attempt, version);
        }
        self.answer = AnswerState::None;
        self.correlation = None;
        if !message.properties.is_empty() {
            for name in TRACE_PROPERTIES {
                if let Some(value) = message.properties.get(name) {
                    self.trace.set(name, value);
                }
            }
            if variant.inputs[input].reply.is_some() {
                self.correlation = message.properties.get(CORRELATION_ID).map(str::to_owned);
                self.answer = if self.correlation.is_some() { AnswerState::Open } else { AnswerState::None };
            }
        }
    }

    /// Ends the call and discards everything it sent; outputs to be delivered must be taken from `outputs` before.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Idle;
        self.attempt = 0;
        self.id = MessageId(0);
        self.outputs.clear();
        self.charge = Charge::default();
        self.has_yielded = false;
        self.sent_counts.fill(0);
        self.requests_count = 0;
        (self.sends_count, self.sends_bytes, self.already_sent_count, self.dropped_count) = (0, 0, 0, 0);
        self.begun.clear();
        if !self.trace.is_empty() {
            self.trace = Properties::new();
        }
    }
}
