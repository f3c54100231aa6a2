//! The instance that a kit represents, with the state that a host keeps around it.

use super::answer::Answer;
use super::descriptor::Descriptor;
use super::handled::{LogLine, Sent};
use super::limits::Limits;
use crate::Message;
use crate::kept::Kept;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// A service of the test.
pub(super) type Service = Box<dyn FnMut(Message) -> Answer>;

/// One instance.
pub(super) struct Instance {
    pub(super) descriptor: Descriptor,
    pub(super) flow: String,
    /// Includes the defaults, once the instance has begun.
    pub(super) parameters: BTreeMap<String, String>,
    /// The outputs of the flow, and whether each has a topic.
    pub(super) outputs: Vec<(String, bool)>,
    /// The configuration with which the instance was set up.
    pub(super) config: Config,
    pub(super) limits: Limits,
    pub(super) time_left: Duration,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) kept: Kept,
    pub(super) call: Call,
}

impl Instance {
    /// Checks the parameters, and adds the defaults; all errors are reported at once.
    pub(super) fn fit(&mut self) -> Result<(), String> {
        let mut faults = Vec::new();
        for parameter in &self.descriptor.parameters {
            let name = &parameter.name;
            match (self.parameters.get(name), &parameter.default) {
                (Some(value), _) => {
                    faults.extend(parameter.check_value(value).err().map(|problem| format!("parameter `{name}`: {problem}")));
                }
                (None, Some(default)) => drop(self.parameters.insert(name.clone(), default.clone())),
                (None, None) if parameter.required => {
                    faults.push(format!("parameter `{name}` is required and not set: set it in the processor's `parameters`"));
                }
                (None, None) => {}
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }
}

/// What the instance is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Setup,
    Handle,
}

/// How far the answer to a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// The message in flight is not a request.
    #[default]
    None,
    /// The last part has not been sent.
    Open,
    /// The last part has been sent.
    Ended,
}

/// The call in progress.
#[derive(Default)]
pub(super) struct Call {
    pub(super) phase: Phase,
    pub(super) message_id: String,
    pub(super) attempt: u32,
    pub(super) answer: Progress,
    pub(super) sent: Vec<Sent>,
    pub(super) replies: Vec<Message>,
    pub(super) requests: Vec<Sent>,
    pub(super) log: Vec<LogLine>,
    pub(super) sends_count: u64,
    pub(super) sends_bytes: u64,
    /// The requests of this call, by number.
    pub(super) begun: Vec<Begun>,
}

/// A request that was started.
pub(super) enum Begun {
    /// Parts may follow.
    Open(Answer),
    /// The last part was taken.
    Complete,
    /// It ended with an error, and is no longer a request.
    Failed,
}

/// The configuration, with the version in which each type last changed.
#[derive(Clone, Default)]
pub(super) struct Config {
    pub(super) version: u64,
    types: BTreeMap<String, (u64, BTreeMap<String, String>)>,
}

impl Config {
    pub(super) fn put(&mut self, config_type: &str, key: &str, value: String) {
        if self.values(config_type).and_then(|values| values.get(key)) == Some(&value) {
            return;
        }
        self.version += 1;
        let of_type = self.types.entry(config_type.to_owned()).or_default();
        of_type.0 = self.version;
        of_type.1.insert(key.to_owned(), value);
    }

    pub(super) fn remove(&mut self, config_type: &str, key: &str) {
        if let Some(of_type) = self.types.get_mut(config_type)
            && of_type.1.remove(key).is_some()
        {
            self.version += 1;
            of_type.0 = self.version;
        }
    }

    pub(super) fn values(&self, config_type: &str) -> Option<&BTreeMap<String, String>> {
        self.types.get(config_type).map(|(_, values)| values)
    }

    pub(super) fn version_of(&self, config_type: &str) -> u64 {
        self.types.get(config_type).map_or(0, |(version, _)| *version)
    }
}

thread_local! {
    /// The instance that runs on this thread.
    static CURRENT: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// Runs an instance: the imports used by `work` come from it. An instance that panics is lost, like one that traps in a host. Instances may
/// be nested, if one is the service that another one calls.
pub(super) fn current<R>(instance: &mut Option<Instance>, work: impl FnOnce() -> R) -> R {
    /// Restores the previous instance, also after a panic.
    struct Before(Option<Instance>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let before = Before(CURRENT.replace(instance.take()));
    let result = work();
    *instance = CURRENT.take();
    drop(before);
    result
}

/// Accesses the running instance; `None` without one. `look` must not call code of the author.
pub(super) fn with<R>(look: impl FnOnce(&mut Instance) -> R) -> Option<R> {
    CURRENT.with_borrow_mut(|instance| instance.as_mut().map(look))
}

/// As [`with`], for functions that require an instance.
#[track_caller]
pub(super) fn here<R>(what: &str, look: impl FnOnce(&mut Instance) -> R) -> R {
    with(look).unwrap_or_else(|| {
        panic!("{what} is available only in a host: in a test, call the handler with `weir::testing::kit!().handle(\"input\", message)`")
    })
}

/// The values that the SDK keeps for the running instance.
pub(crate) fn look<R>(look: impl FnOnce(&mut Kept) -> R) -> R {
    here("what an instance keeps", |instance| look(&mut instance.kept))
}
