//! A component in the real runtime, with everything around it but a broker: what a host would do for its messages, and what it makes of them.

mod capture;
mod observed;
mod stub_broker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_config::Change;
use weir_config::records::{ComponentRecord, ComponentRef, Descriptor, Entry, GivenLimits, GrantableLimits};
use weir_pubsub::{CORRELATION_ID, Message, MessageId};
use weir_runtime::{Engine, Inspected, Instance, Loaded, Outcome, Program, RuntimeError, VariantContext};

use self::capture::Capture;
pub use self::observed::{LogLine, Observed, ObservedFailure};
pub use self::stub_broker::Answer;
use self::stub_broker::StubBroker;
use crate::error::ProjectError;

/// The flow and the variant that a component under test runs in.
const FLOW: &str = "test";
/// Slots of instances: one for each case that runs, and more for components of several memories.
const INSTANCES_COUNT: u32 = 64;

/// A component that was loaded.
pub struct Harness {
    loaded: Arc<Loaded>,
    component: ComponentRef,
    record: ComponentRecord,
}

/// What an instance is given, and the messages that it handles, in order.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The flow and the variant that it runs in; those of tests unless set.
    pub flow: Option<(String, String)>,
    /// Parameters as texts.
    pub parameters: BTreeMap<String, String>,
    /// Values of the configuration by type and key.
    pub config: BTreeMap<String, BTreeMap<String, String>>,
    /// Answers of services, by the name of the request; each is given once.
    pub answers: BTreeMap<String, Vec<Answer>>,
    /// Outputs beside those of the descriptor, for a component that leaves them open.
    pub outputs: Vec<String>,
    /// Limits in place of those that the component requests.
    pub limits: GivenLimits,
    /// The messages.
    pub steps: Vec<Step>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Step {
    /// The input's name.
    pub input: String,
    /// The message. Its id is set if it has none.
    pub message: Message,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

/// Why a case could not be run to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseError {
    /// The instance could not be set up: the component refused, or broke off.
    Setup(String),
    /// The case does not fit the component.
    Case(String),
}

impl Harness {
    /// Loads a component; compiled code is kept in a folder, that of other components there is removed. Blocks for up to seconds.
    ///
    /// # Errors
    /// `Component`, `Runtime`.
    pub fn load(file: &Path, bytes: &[u8], code_folder: &Path) -> Result<Self, ProjectError> {
        let unfit = |fault: weir_runtime::ComponentFault| ProjectError::component(file, &fault);
        let inspected = weir_runtime::inspect(bytes).and_then(Inspected::check).map_err(unfit)?;
        let engine = Engine::new(INSTANCES_COUNT, code_folder).map_err(ProjectError::Runtime)?;
        let unusable =
            |error: RuntimeError| ProjectError::Component { file: file.to_owned(), problem: weir_pubsub::chain(&error), fix: None };
        let loaded = Arc::new(Loaded::of_bytes(&engine, bytes).map_err(unusable)?);
        remove_other_code(code_folder, &inspected.digest.to_hex());
        let descriptor = &inspected.descriptor;
        let component = ComponentRef {
            name: descriptor.name.clone().unwrap_or_else(|| "component".to_owned()),
            version: descriptor.version.clone().unwrap_or_else(|| "0.0.0".to_owned()),
            digest: inspected.digest,
        };
        Ok(Harness { loaded, component, record: inspected.into() })
    }

    /// What the component says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.record.descriptor
    }

    /// Runs a case in an instance of its own, on this thread. Blocks.
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
        // What the setup logs belongs to no message.
        drop(capture.take());
        let mut observed = Vec::with_capacity(case.steps.len());
        let mut messages_count = 0;
        for (at, step) in case.steps.iter().enumerate() {
            let input = self.input(&step.input)?;
            // A later attempt is one at the message before it.
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
        // A deployment may be given more than is granted without a flag; here nothing is at stake.
        let most = GrantableLimits { time_ms: u64::MAX, ..GrantableLimits::default() };
        let limits = self.descriptor().limits.granted(&case.limits, &most).map_err(|error| CaseError::Case(error.to_string()))?;
        let record = ComponentRecord { limits, ..self.record.clone() };
        let context = VariantContext { backend: stub, stop: Default::default(), defaults: Default::default() };
        let variant = case.flow.as_ref().map_or(FLOW, |(_, variant)| variant);
        let names = (self.component.name.as_str(), variant);
        let program = Program::new(names, entry, self.component.clone(), &record, self.loaded.clone(), context);
        program.map_err(|error| CaseError::Case(weir_pubsub::chain(&error)))
    }

    /// What the flow service would write: a topic for everything that the descriptor names.
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
    fn message(&self, step: &Step, number: usize) -> Message {
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

/// Code of earlier builds of a component, which takes tens of MiB in some languages.
fn remove_other_code(folder: &Path, digest: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(digest) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// How long a delay is, for people and fixtures.
pub(crate) fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").field("component", &self.component).finish_non_exhaustive()
    }
}
