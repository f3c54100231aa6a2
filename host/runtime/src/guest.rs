//! What belongs to one instance: its call in progress, its memory, its streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use weir_pubsub::{CORRELATION_ID, Message, MessageId, Output, Properties, Replies};

use crate::config_state::ConfigState;
use crate::console::{Console, Speaker};
use crate::outputs::Charge;
use crate::program::Program;
use crate::waits::Waits;

/// What the engine keeps for an instance.
pub(crate) struct Guest {
    pub(crate) program: Arc<Program>,
    pub(crate) call: Call,
    pub(crate) config: Arc<ConfigState>,
    pub(crate) memory: MemoryLimit,
    pub(crate) speaker: Arc<Speaker>,
    pub(crate) stderr: Console,
    pub(crate) waits: Waits,
    wasi: WasiCtx,
    table: ResourceTable,
}

/// Files, streams and the like that an instance may hold; each costs memory of the host.
const MAX_RESOURCES_COUNT: usize = 1_000;

impl Guest {
    pub(crate) fn new(program: Arc<Program>, config: Arc<ConfigState>) -> Self {
        let names = [&program.processor, &program.variant, &program.flow, &program.deployment].map(Arc::clone);
        let speaker = Arc::new(Speaker::new(names, program.log_quota.clone()));
        let stderr = Console::new(speaker.clone(), Level::WARN);
        // No file, no address, no variable: what is not set here is refused.
        let wasi = WasiCtx::builder().stdout(Console::new(speaker.clone(), Level::INFO)).stderr(stderr.clone()).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES_COUNT);
        let memory = MemoryLimit::new(program.limits.memory_bytes);
        let call = Call::new(&program);
        Guest { program, call, config, memory, speaker, stderr, waits: Waits::new(), wasi, table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being made, or between two calls.
    Idle,
    /// In `configure`.
    Setup,
    /// In `handle`.
    Handle,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The message in hand is no request.
    None,
    /// No part has left.
    Open,
    /// Some parts have left.
    Begun,
    /// The last part has left.
    Ended,
}

/// The call in progress.
pub(crate) struct Call {
    pub(crate) phase: Phase,
    pub(crate) input: usize,
    pub(crate) id: MessageId,
    pub(crate) attempt: u32,
    pub(crate) time: TimeLeft,
    /// Where sent messages come from; made once for each attempt number and version of the configuration.
    pub(crate) from: Arc<str>,
    from_key: (u32, u64),
    /// The trace context of the message in hand, for all that is sent.
    pub(crate) trace: Properties,
    pub(crate) outputs: Vec<Output>,
    /// What these outputs are charged to.
    pub(crate) charge: Charge,
    /// Whether it was ended while it waited for room.
    pub(crate) has_given_way: bool,
    /// Messages sent in this call, by output.
    pub(crate) sent_counts: Vec<u32>,
    /// Requests of this call, those included that could not be begun: a failed one may have been stored all the same.
    pub(crate) requests_count: u32,
    pub(crate) sends_count: u32,
    pub(crate) sends_bytes: u64,
    pub(crate) left_count: u32,
    pub(crate) dropped_count: u32,
    /// What ties the answer to the request in hand.
    pub(crate) correlation: Option<String>,
    pub(crate) answer: Answer,
    /// The requests of this call, by their number.
    pub(crate) begun: Vec<Begun>,
}

/// A request that a component began.
pub(crate) enum Begun {
    /// Under way.
    Open(Replies),
    /// Its last part was taken.
    Complete,
    /// It ended with an error, and is no request any more.
    Failed,
}

/// The time of a call. It is counted from when somebody first asks for it: most calls are over before anybody reads a clock, and one that
/// is not has yielded, and so asked, within a tick of the engine.
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

    /// Takes a wait out that does not count.
    pub(crate) fn extend(&mut self, waited: Duration) {
        self.end = self.end.map(|end| end + waited);
    }
}

/// The properties of the trace context, which is passed on.
pub(crate) const TRACE_PROPERTIES: [&str; 2] = ["traceparent", "tracestate"];

impl Call {
    fn new(program: &Program) -> Self {
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
            has_given_way: false,
            sent_counts: vec![0; program.outputs.len()],
            requests_count: 0,
            sends_count: 0,
            sends_bytes: 0,
            left_count: 0,
            dropped_count: 0,
            correlation: None,
            answer: Answer::None,
            begun: Vec::new(),
        }
    }

    /// Begins to handle a message.
    pub(crate) fn begin(&mut self, program: &Program, input: usize, message: &Message, attempt: u32, version: u64) {
        self.phase = Phase::Handle;
        self.input = input;
        self.id = message.id.unwrap_or(MessageId(0));
        self.attempt = attempt;
        self.time = TimeLeft::of(Duration::from_millis(program.limits.time_ms));
        if self.from_key != (attempt, version) {
            self.from = format!("{} {} {version} {attempt}", program.processor, program.short_digest).into();
            self.from_key = (attempt, version);
        }
        self.answer = Answer::None;
        self.correlation = None;
        if !message.properties.is_empty() {
            for name in TRACE_PROPERTIES {
                if let Some(value) = message.properties.get(name) {
                    self.trace.set(name, value);
                }
            }
            if program.inputs[input].reply.is_some() {
                self.correlation = message.properties.get(CORRELATION_ID).map(str::to_owned);
                self.answer = if self.correlation.is_some() { Answer::Open } else { Answer::None };
            }
        }
    }

    /// Ends the call and forgets all that was sent, which `outputs` was taken from before if it was to leave.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Idle;
        self.attempt = 0;
        self.id = MessageId(0);
        self.outputs.clear();
        self.charge = Charge::default();
        self.has_given_way = false;
        self.sent_counts.fill(0);
        self.requests_count = 0;
        (self.sends_count, self.sends_bytes, self.left_count, self.dropped_count) = (0, 0, 0, 0);
        self.begun.clear();
        if !self.trace.is_empty() {
            self.trace = Properties::new();
        }
    }
}

/// The bound on an instance's memory.
pub(crate) struct MemoryLimit {
    limit_bytes: u64,
    /// All linear memories of the instance together.
    pub(crate) used_bytes: u64,
    /// What they were once it was set up: every new instance has as much.
    start_bytes: u64,
    /// What was asked for in vain.
    pub(crate) refused_bytes: Option<u64>,
}

impl MemoryLimit {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        MemoryLimit { limit_bytes, used_bytes: 0, start_bytes: 0, refused_bytes: None }
    }

    /// Notes that the instance is set up.
    pub(crate) fn note_start(&mut self) {
        self.start_bytes = self.used_bytes;
    }

    /// Whether the instance should make room for a new one: some languages leak what they send. Half of what the limit left it at its start
    /// is used then.
    pub(crate) fn is_half_used(&self) -> bool {
        self.used_bytes.saturating_sub(self.start_bytes) > self.limit_bytes.saturating_sub(self.start_bytes) / 2
    }

    /// The figures, for people.
    pub(crate) fn shown(&self) -> String {
        let MemoryLimit { limit_bytes, used_bytes, start_bytes, .. } = self;
        format!("{used_bytes} bytes of memory in use, {start_bytes} of them since the start, limits.memory-bytes is {limit_bytes}")
    }

    /// What was refused, for people.
    pub(crate) fn refusal(&self) -> Option<String> {
        let limit_bytes = self.limit_bytes;
        self.refused_bytes.map(|bytes| format!("it asked for {bytes} bytes of memory, of at most {limit_bytes} (limits.memory-bytes)"))
    }
}

/// The most elements of a table that an instance may have; each costs a pointer.
const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Core instances, tables and memories of one instance, which a component has several of: one for each language runtime and adapter in it.
pub(crate) const MAX_INSTANCES_COUNT: usize = 100;
pub(crate) const MAX_TABLES_COUNT: usize = 100;
pub(crate) const MAX_MEMORIES_COUNT: usize = 10;

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let used_bytes = self.used_bytes + desired.saturating_sub(current) as u64;
        if used_bytes > self.limit_bytes {
            self.refused_bytes = Some(used_bytes);
            return Ok(false);
        }
        self.used_bytes = used_bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(usize::MAX).min(MAX_TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES_COUNT
    }

    fn tables(&self) -> usize {
        MAX_TABLES_COUNT
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES_COUNT
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_over_all_memories_together() {
        let mut memory = MemoryLimit::new(100);
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.is_half_used());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(memory.is_half_used());
        assert_eq!(memory.refusal(), None);
        assert!(!memory.memory_growing(40, 70, None).unwrap());
        assert!(memory.refusal().unwrap().contains("110 bytes of memory, of at most 100"));
        assert!(!memory.memory_growing(40, 41, Some(40)).unwrap(), "the memory's own maximum");
    }

    #[test]
    fn what_an_instance_has_at_its_start_is_not_used_up() {
        let mut memory = MemoryLimit::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        memory.note_start();
        assert!(!memory.is_half_used(), "a new instance would have as much");
        assert!(memory.memory_growing(60, 80, None).unwrap());
        assert!(!memory.is_half_used());
        assert!(memory.memory_growing(80, 81, None).unwrap());
        assert!(memory.is_half_used(), "more than half of the 40 that were left");
    }
}
