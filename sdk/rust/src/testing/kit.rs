//! The kit: one instance of a processor, with what a flow and a deployment give it.

use super::answer::Answer;
use super::descriptor::Descriptor;
use super::handled::{Handled, LogLine};
use super::imports::messaging::as_received;
use super::instance::{Call, Config, Instance, Phase, Progress, current};
use super::limits::{Limits, MAX_MESSAGE_BYTES, is_reserved};
use super::manifest;
use super::processor::Processor;
use super::wording::names;
use crate::log::Level;
use crate::{Failure, Handler, Incoming, IntoMessage, Message, Result};
use std::collections::BTreeMap;
use std::time::Duration;

type Handle = Box<dyn Fn(String, Message) -> Result>;
type Setup = Box<dyn Fn(&[String]) -> Result<(), String>>;

/// A processor under test, as one instance of it, with what a flow and a deployment give it. Created by [`kit!`](crate::testing::kit), or
/// from one handler by [`Kit::new`].
///
/// Everything can be set at any time except parameters, which never change in an instance.
///
/// ```
/// use weir::testing::{Answer, Kit, json};
/// use weir::{ErrorKind, Failure, Json, Result, Text, config, context};
///
/// const DESCRIPTOR: &str = r#"{
///     "schema": 1,
///     "consumers": ["input"],
///     "producers": ["output"],
///     "parameters": [{ "name": "least", "type": "number", "default": "0.5" }],
///     "config-types": ["threshold"],
///     "requests": [{ "name": "model", "request": "model-request", "response": "model-response" }]
/// }"#;
///
/// fn rate(Text(text): Text) -> Result<Option<Json<f64>>> {
///     let Json(score): Json<f64> = match weir::request("model", Json(&text)) {
///         Err(failure) if failure.call_error() == Some(ErrorKind::Timeout) => return Err(Failure::busy("the model is asleep")),
///         answer => answer?,
///     };
///     let least = match config::parsed::<f64>("threshold", "model")? {
///         Some(threshold) => *threshold,
///         None => context::parameter("least").unwrap_or_default().parse()?,
///     };
///     Ok((score >= least).then_some(Json(score)))
/// }
///
/// let mut kit = Kit::new(DESCRIPTOR, rate);
/// kit.parameter("least", "0.4").answer("model", |request| Json(if request.body.len() > 10 { 0.7 } else { 0.3 }));
///
/// let handled = kit.handle("input", Text("a good text"));
/// assert_eq!(handled.json("output"), [json!(0.7)]);
/// assert_eq!(handled.requests()[0].to, "model");
///
/// kit.config("threshold", "model", "0.8");
/// assert_eq!(kit.handle("input", Text("a good text")).sent(), []);
///
/// kit.answer("model", |_| Answer::error(ErrorKind::Timeout, "no answer in 60 s")).attempt(2);
/// let handled = kit.handle("input", Text("a good text"));
/// assert_eq!(handled.failure().unwrap().reason(), "the model is asleep");
/// ```
pub struct Kit {
    handle: Handle,
    setup: Option<Setup>,
    /// `None` after a panic.
    instance: Option<Instance>,
    attempt: u32,
    messages_count: u32,
    /// The configuration, which the instance gets between two messages.
    config: Config,
    /// The version of the configuration with which the instance was last set up, or which it rejected; `None` before it began.
    seen: Option<u64>,
}

impl Kit {
    /// A kit with a single handler for all inputs of a descriptor.
    ///
    /// # Panics
    /// If the text is not a descriptor.
    #[track_caller]
    pub fn new<A>(descriptor: &str, handler: impl Handler<A> + 'static) -> Self {
        Self::make(descriptor, Box::new(move |input, message| handler.call(Incoming::new(&input, message))), None)
    }

    /// Called by [`kit!`](crate::testing::kit).
    #[doc(hidden)]
    #[track_caller]
    #[must_use]
    pub fn of(processor: Processor) -> Self {
        let path = processor.descriptor;
        let descriptor = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{path}: {error}: create the file, or use another one in `processor!`"));
        let is_manifest = std::path::Path::new(path).extension().is_some_and(|ending| ending == "toml");
        let descriptor = match is_manifest {
            true => manifest::descriptor(&descriptor).unwrap_or_else(|fault| panic!("{path}: {fault}")),
            false => descriptor,
        };
        let handle = move |input, message| (processor.handle)(input, message).map_err(Failure::returned);
        let setup = processor.setup.first().map(|setup| -> Setup { Box::new(setup) });
        Self::make(&descriptor, Box::new(handle), setup)
    }

    #[track_caller]
    fn make(descriptor: &str, handle: Handle, setup: Option<Setup>) -> Self {
        let descriptor = Descriptor::parse(descriptor).unwrap_or_else(|fault| panic!("{fault}"));
        let outputs = descriptor.producers.iter().filter(|producer| producer.name != "*");
        let outputs = outputs.map(|producer| (producer.name.clone(), true)).collect();
        let instance = Instance {
            descriptor,
            flow: "test".to_owned(),
            parameters: BTreeMap::new(),
            outputs,
            config: Config::default(),
            limits: Limits::default(),
            time_left: Duration::from_secs(60),
            services: BTreeMap::new(),
            kept: Default::default(),
            call: Call::default(),
        };
        Kit { handle, setup, instance: Some(instance), attempt: 1, messages_count: 0, config: Config::default(), seen: None }
    }

    #[track_caller]
    fn instance(&mut self) -> &mut Instance {
        self.instance.as_mut().expect("the instance panicked, so a host would not use it again: create another kit")
    }

    /// Sets `setup`, for a kit created by [`Kit::new`].
    pub fn setup<E: std::fmt::Display>(&mut self, setup: impl Fn(&[String]) -> Result<(), E> + 'static) -> &mut Self {
        self.setup = Some(Box::new(move |changed| setup(changed).map_err(|error| error.to_string())));
        self
    }

    /// Sets a parameter, as the flow does; others have the descriptor's defaults.
    ///
    /// # Panics
    /// After the first message: parameters never change in an instance.
    #[track_caller]
    pub fn parameter(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        assert!(self.seen.is_none(), "parameter `{name}` cannot change in a running instance: create another kit");
        self.instance().parameters.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a value of the configuration. Before the next message `setup` is called with the name of the type.
    ///
    /// # Panics
    /// If the descriptor does not declare the type.
    #[track_caller]
    pub fn config(&mut self, config_type: &str, key: &str, value: impl Into<String>) -> &mut Self {
        self.check_config_type(config_type);
        self.config.put(config_type, key, value.into());
        self
    }

    /// Removes a value from the configuration.
    ///
    /// # Panics
    /// As [`config`](Self::config).
    #[track_caller]
    pub fn remove_config(&mut self, config_type: &str, key: &str) -> &mut Self {
        self.check_config_type(config_type);
        self.config.remove(config_type, key);
        self
    }

    #[track_caller]
    fn check_config_type(&mut self, config_type: &str) {
        let declared = &self.instance().descriptor.config_types;
        let known = names(declared.iter().map(|declared| declared.name.as_str()));
        assert!(
            declared.iter().any(|declared| declared.name == config_type),
            "config type `{config_type}` is not declared: add it to `config-types` of the descriptor (declared: {known})"
        );
    }

    /// Answers the requests to a service: `service` is called with each, and returns a message or an [`Answer`]. It may be another kit.
    ///
    /// # Panics
    /// If the descriptor has no such request.
    #[track_caller]
    pub fn answer<A: Into<Answer>>(&mut self, request: &str, mut service: impl FnMut(Message) -> A + 'static) -> &mut Self {
        let instance = self.instance();
        let known = names(instance.descriptor.requests.iter().map(|request| request.name.as_str()));
        let is_declared = instance.descriptor.requests.iter().any(|declared| declared.name == request);
        assert!(is_declared, "request `{request}` does not exist; must be one of: {known}");
        instance.services.insert(request.to_owned(), Box::new(move |request| service(request).into()));
        self
    }

    /// The attempt number of the next messages, from 1. An attempt above the first has the message id of the message before it.
    pub fn attempt(&mut self, attempt: u32) -> &mut Self {
        self.attempt = attempt.max(1);
        self
    }

    /// The result of [`context::remaining`](crate::context::remaining): 60 s unless set. It does not decrease.
    #[track_caller]
    pub fn time_left(&mut self, time: Duration) -> &mut Self {
        self.instance().time_left = time;
        self
    }

    /// The id of the flow, which is also the variant: `test` unless set.
    #[track_caller]
    pub fn flow(&mut self, id: &str) -> &mut Self {
        id.clone_into(&mut self.instance().flow);
        self
    }

    /// Gives an output a topic, if the descriptor leaves the outputs open with `*`.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn output(&mut self, name: &str) -> &mut Self {
        let instance = self.instance();
        assert!(instance.descriptor.has_open_outputs(), "output `{name}` cannot be added: the descriptor has no producer `*`");
        instance.outputs.push((name.to_owned(), true));
        self
    }

    /// Leaves an optional output without a topic: messages sent there are dropped.
    ///
    /// # Panics
    /// If the descriptor has no such output, or not as `optional`.
    #[track_caller]
    pub fn without_output(&mut self, name: &str) -> &mut Self {
        let instance = self.instance();
        let is_optional = instance.descriptor.producers.iter().any(|producer| producer.name == name && producer.optional);
        assert!(is_optional, "output `{name}` must have a topic in every flow: it is not among the producers as `\"optional\": true`");
        instance.outputs.iter_mut().filter(|(output, _)| output == name).for_each(|(_, has_topic)| *has_topic = false);
        self
    }

    /// Sets a limit of the deployment: `sends-count` or `sends-bytes`, both for each message handled.
    ///
    /// # Panics
    /// If it is another limit: the kit has neither memory limits nor time.
    #[track_caller]
    pub fn limit(&mut self, name: &str, value: u64) -> &mut Self {
        let limits = &mut self.instance().limits;
        match name {
            "sends-count" => limits.sends_count = value,
            "sends-bytes" => limits.sends_bytes = value,
            other => panic!("limit `{other}` does not exist in a test; must be one of: sends-count, sends-bytes"),
        }
        self
    }

    /// Prepares the instance for the next message as a host does, which otherwise happens in [`handle`](Self::handle): the parameters of a
    /// new instance are checked and it is set up, and an existing one is set up again if its configuration has changed.
    ///
    /// # Errors
    /// The error that the status of a host would show: a parameter is missing or wrong, or `setup` failed. A new instance has not begun
    /// then.
    ///
    /// # Panics
    /// If `setup` does, or if the instance panicked before.
    #[track_caller]
    pub fn configure(&mut self) -> Result<(), String> {
        if self.seen == Some(self.config.version) {
            return Ok(());
        }
        let is_new = self.seen.is_none();
        let wanted = self.config.clone();
        let instance = self.instance();
        if is_new {
            instance.fit()?;
        }
        let old = std::mem::replace(&mut instance.config, wanted.clone());
        let has_changed = |name: &String| is_new || old.version_of(name) != wanted.version_of(name);
        let declared = instance.descriptor.config_types.iter().map(|declared| declared.name.clone());
        let changed: Vec<String> = declared.filter(has_changed).collect();
        let outcome = match &self.setup {
            Some(setup) if is_new || !changed.is_empty() => current(&mut self.instance, || setup(&changed)),
            _ => Ok(()),
        };
        if outcome.is_err() {
            // What the instance derived from the old state must be consistent with what it reads.
            self.instance().config = old;
        }
        if outcome.is_ok() || !is_new {
            self.seen = Some(wanted.version);
        }
        outcome
    }

    /// Passes a message of an input to the processor, and collects the outcome. A message of an input that has `reply` in the descriptor is
    /// a request. Properties reserved for the host are removed, as by a host.
    ///
    /// If `setup` rejects a change of the configuration, the instance continues as in a host, with its previous configuration, and the log
    /// of the message has the reason; see [`configure`](Self::configure).
    ///
    /// # Panics
    /// If the handler does; if the processor cannot begin; if the descriptor has no such input; if the message cannot be created, or is
    /// larger than any that reaches a handler.
    #[track_caller]
    pub fn handle(&mut self, input: &str, message: impl IntoMessage) -> Handled {
        let message = incoming(message);
        let index = self.instance().descriptor.input(input).unwrap_or_else(|fault| panic!("{fault}"));
        let is_new = self.seen.is_none();
        if let Err(reason) = self.configure() {
            assert!(!is_new, "the processor failed to start: {reason}");
            let line = LogLine { level: Level::Warn, message: "component setup failed".to_owned(), fields: Vec::new() };
            self.instance().call.log.push(LogLine { fields: vec![("error".to_owned(), reason)], ..line });
        }
        if self.attempt == 1 || self.messages_count == 0 {
            self.messages_count += 1;
        }
        let message_id = format!("{:032x}", self.messages_count);
        let attempt = self.attempt;
        let instance = self.instance();
        let is_request = instance.descriptor.consumers[index].reply.is_some();
        let log = std::mem::take(&mut instance.call.log);
        let answer = if is_request { Progress::Open } else { Progress::None };
        instance.call = Call { phase: Phase::Handle, message_id, attempt, answer, log, ..Call::default() };
        let handle = &self.handle;
        let outcome = current(&mut self.instance, || handle(input.to_owned(), message));
        let instance = self.instance();
        let call = std::mem::take(&mut instance.call);
        Handled {
            sent: if outcome.is_ok() { call.sent } else { Vec::new() },
            failure: outcome.err(),
            outputs: instance.outputs.iter().map(|(name, _)| name.clone()).collect(),
            replies: call.replies,
            is_answered: call.answer == Progress::Ended,
            requests: call.requests,
            log: call.log,
        }
    }
}

/// A message of the test, as a host passes it to a component.
#[track_caller]
fn incoming(message: impl IntoMessage) -> Message {
    let message = message.into_message().unwrap_or_else(|failure| panic!("the message of the test is invalid: {failure}"));
    let (size, limit) = (message.body.len(), MAX_MESSAGE_BYTES);
    assert!(size <= limit, "the body has {size} bytes; the limit is {limit}: such a message never reaches a handler");
    let mut message = as_received(&message);
    message.properties.retain(|(name, _)| !is_reserved(name));
    message
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit").field("attempt", &self.attempt).field("messages_count", &self.messages_count).finish_non_exhaustive()
    }
}
