//! Runs a component in the real runtime with everything except a broker: does what a host would do for each message and records the results.

mod capture;
mod observed;
mod stub_broker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_config::Change;
use weir_config::records::{ComponentRecord, ComponentRef, Descriptor, Entry, GivenLimits, GrantableLimits};
use weir_pubsub::{CORRELATION_ID, Message, MessageId};
use weir_runtime::{CompiledComponent, Engine, Inspected, Instance, Outcome, Program, ProgramEnvironment, RuntimeError};

use self::capture::Capture;
pub use self::capture::LogLine;
pub(crate) use self::observed::in_ms;
pub use self::observed::{Observed, ObservedFailure};
pub use self::stub_broker::Answer;
use self::stub_broker::StubBroker;
use crate::error::ProjectError;

/// The flow and the variant that a component under test runs in.
const FLOW: &str = "test";
/// Instance slots: one for each running case, and more for components with several memories.
const INSTANCES_COUNT: u32 = 64;

/// A component that was loaded.
pub struct Harness {
    loaded: Arc<CompiledComponent>,
    component: ComponentRef,
    record: ComponentRecord,
}

/// The inputs of an instance, and the messages that it handles, in order.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The flow and the variant that it runs in; by default those for tests.
    pub flow: Option<(String, String)>,
    /// Parameters as strings.
    pub parameters: BTreeMap<String, String>,
    /// Values of the configuration by type and key.
    pub config: BTreeMap<String, BTreeMap<String, String>>,
    /// Answers of services, by the name of the request; each is used once.
    pub answers: BTreeMap<String, Vec<Answer>>,
    /// Outputs in addition to those of the descriptor, for a component with open outputs.
    pub outputs: Vec<String>,
    /// Limits that override those that the component requests.
    pub limits: GivenLimits,
    /// The messages.
    pub steps: Vec<CaseMessage>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct CaseMessage {
    /// The input's name.
    pub input: String,
    /// The message. Its id is set if it has none.
    pub message: Message,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// Why a case could not be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseError {
    /// The setup failed: the component returned an error or trapped.
    Setup(String),
    /// The case does not fit the component.
    Case(String),
}

impl Harness {
    /// Loads a component. Its compiled code is cached in a folder; code of other components there is removed. Blocks for up to several seconds.
    ///
    /// # Errors
    /// `Component`, `Runtime`.
    pub fn load(file: &Path, bytes: &[u8], code_folder: &Path) -> Result<Self, ProjectError> {
        let unfit = |fault: weir_runtime::ComponentFault| ProjectError::component(file, &fault);
        let inspected = weir_runtime::inspect(bytes).and_then(Inspected::check).map_err(unfit)?;
        let engine = Engine::new(INSTANCES_COUNT, code_folder).map_err(ProjectError::Runtime)?;
        let unusable =
            |error: RuntimeError| ProjectError::Component { file: file.to_owned(), problem: weir_pubsub::chain(&error), fix: None };
        let loaded = Arc::new(CompiledComponent::of_bytes(&engine, bytes).map_err(unusable)?);
        remove_other_code(code_folder, &inspected.digest.to_hex());
        let descriptor = &inspected.descriptor;
        let component = ComponentRef {
            name: descriptor.name.clone().unwrap_or_else(|| "component".to_owned()),
            version: descriptor.version.clone().unwrap_or_else(|| "0.0.0".to_owned()),
            digest: inspected.digest,
        };
        Ok(Harness { loaded, component, record: inspected.into() })
    }

    /// The component's descriptor.
    pub fn descriptor(&self) -> &Descriptor {
        &self.record.descriptor
    }

    /// Runs a case in its own instance, on this thread. Blocks.
    ///
    /// # Errors
    /// [`Broken`]: none, or not all, of the messages were handled.
    pub fn run(&self, case: &Case) -> Result<Vec<Observed>, CaseError> {
        let capture = Capture::default();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| CaseError::Case(error.to_string()))?;
        tracing::subscriber::with_default(capture.subscriber(), || runtime.block_on(self.run_here(case, &capture)))
    }

    async fn run_here(&self, case: &Case, capture: &Capture) -> Result<Vec<Observed>, CaseError> {
        let entry = self.entry(case);
        let stub = Arc::new(StubBroker::new(self.descriptor(), &entry, case.answers.clone()));
        let program = Arc::new(self.program(case, &entry, stub.clone())?);
        let mut instance = start(&program, case).await?;
        // The setup's log is not attributed to a message.
        drop(capture.take());
        let mut observed = Vec::with_capacity(case.steps.len());
        let mut messages_count = 0;
        for (at, step) in case.steps.iter().enumerate() {
            let input = self.input(&step.input)?;
            // A later attempt repeats the message before it.
            messages_count += usize::from(step.attempt == 1 || messages_count == 0);
            let message = self.message(step, messages_count);
            let outcome = instance.handle(input, &message, step.attempt).await;
            let is_broken = matches!(&outcome, Outcome::Failed(fault) if fault.kind.breaks_instance());
            observed.push(Observed::of(outcome, &stub, capture));
            if is_broken && at + 1 < case.steps.len() {
                instance = start(&program, case).await?;
            }
        }
        Ok(observed)
    }

    fn program(&self, case: &Case, entry: &Entry, stub: Arc<StubBroker>) -> Result<Program, CaseError> {
        // A deployment needs a flag for higher limits; a test does not.
        let most = GrantableLimits { time_ms: u64::MAX, ..GrantableLimits::default() };
        let limits = self.descriptor().limits.granted(&case.limits, &most).map_err(|error| CaseError::Case(error.to_string()))?;
        let record = ComponentRecord { limits, ..self.record.clone() };
        let environment = ProgramEnvironment { backend: stub, stop: Default::default(), defaults: Default::default() };
        let variant = case.flow.as_ref().map_or(FLOW, |(_, variant)| variant);
        let names = (self.component.name.as_str(), variant);
        let program = Program::new(names, entry, self.component.clone(), &record, self.loaded.clone(), environment);
        program.map_err(|error| CaseError::Case(weir_pubsub::chain(&error)))
    }

    /// The entry that the flow service would write: a topic for each name in the descriptor.
    fn entry(&self, case: &Case) -> Entry {
        let descriptor = self.descriptor();
        let flow = case.flow.as_ref().map_or(FLOW, |(flow, _)| flow);
        let mut entry = Entry { flow: Some(flow.to_owned()), parameters: case.parameters.clone(), ..Entry::default() };
        let mut give = |name: &str, class: &str| drop(entry.topics.insert(name.to_owned(), format!("{class}:tg:{name}:{FLOW}")));
        for consumer in &descriptor.consumers {
            give(&consumer.name, if consumer.reply.is_some() { "request" } else { "flow" });
        }
        let answers: Vec<&str> = descriptor.consumers.iter().filter_map(|consumer| consumer.reply.as_deref()).collect();
        for producer in descriptor.producers.iter().filter(|producer| producer.name != "*") {
            give(&producer.name, if answers.contains(&producer.name.as_str()) { "response" } else { "flow" });
        }
        for request in &descriptor.requests {
            give(&request.request, "request");
            give(&request.response, "response");
        }
        case.outputs.iter().for_each(|output| give(output, "flow"));
        entry
    }

    fn input(&self, name: &str) -> Result<usize, CaseError> {
        let consumers = &self.descriptor().consumers;
        consumers.iter().position(|consumer| consumer.name == name).ok_or_else(|| {
            let known = weir_pubsub::names(consumers.iter().map(|consumer| consumer.name.as_str()));
            CaseError::Case(format!("input `{}` does not exist; must be one of: {known}", weir_pubsub::shown(name)))
        })
    }

    /// The message of a step, which is numbered from 1.
    fn message(&self, step: &CaseMessage, number: usize) -> Message {
        let mut message = step.message.clone();
        message.id = message.id.or(Some(MessageId(number as u128)));
        let answers = self.descriptor().consumers.iter().any(|consumer| consumer.name == step.input && consumer.reply.is_some());
        if answers && message.properties.get(CORRELATION_ID).is_none() {
            message.properties.set(CORRELATION_ID, format!("request-{number}"));
        }
        message
    }
}

async fn start(program: &Arc<Program>, case: &Case) -> Result<Instance, CaseError> {
    let types = case.config.iter().map(|(name, values)| (name.clone(), Arc::new(values.clone())));
    let config = Change { version: 1, types: types.collect() };
    Instance::start_alone(program, config).await.map_err(|error| match error {
        RuntimeError::SetupRefused { reason } | RuntimeError::SetupFailed { reason } => CaseError::Setup(reason),
        other => CaseError::Setup(weir_pubsub::chain(&other)),
    })
}

/// Removes the code of earlier builds, which takes tens of MiB in some languages.
fn remove_other_code(folder: &Path, digest: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(digest) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("component", &self.component).finish_non_exhaustive()
    }
}
