//! Checks that an entry fits the descriptor of its component. Pure. All faults are reported at once. Hosts check what they run with it, and the flow
//! service what it writes.

use std::sync::Arc;

use weir_pubsub::{Class, Queue, Topic};

use super::bounds::MAX_CONCURRENCY;
use super::component::ComponentRecord;
use super::descriptor::{ConsumerSpec, Descriptor};
use super::entry::Entry;
use super::mismatch::{Mismatch, Unfit};
use crate::names::processor_subscription;

/// The checked topics and parameters of a variant.
#[derive(Debug, PartialEq)]
pub struct Fit {
    /// Its inputs.
    pub inputs: Vec<FitInput>,
    /// Its outputs.
    pub outputs: Vec<FitOutput>,
    /// The requested services.
    pub requests: Vec<FitRequest>,
    /// All parameters by name, including those with default values.
    pub parameters: Vec<(String, String)>,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct FitInput {
    /// Its name in the descriptor.
    pub name: String,
    /// Its inputs.
    pub queue: Queue,
    /// Messages handled in parallel.
    pub concurrency: u32,
    /// The output for answers; only for inputs of requests.
    pub reply: Option<String>,
}

/// One output.
#[derive(Debug, PartialEq)]
pub struct FitOutput {
    /// Its name in the descriptor, or in the entry if the descriptor has open outputs.
    pub name: String,
    /// `None`: messages sent there are dropped.
    pub topic: Option<Topic>,
    /// Whether it is consumed.
    pub consumed: bool,
}

/// One requested service.
#[derive(Debug, PartialEq)]
pub struct FitRequest {
    /// Its name in the descriptor.
    pub name: String,
    /// The topic of requests.
    pub request: Topic,
    /// The topic of answers.
    pub response: Topic,
    /// The time limit of an answer.
    pub timeout_ms: u32,
}

/// Checks an entry against a component.
///
/// # Errors
/// All faults, with the names of topics and parameters.
pub fn fit(processor: &str, variant: &str, entry: &Entry, record: &ComponentRecord) -> Result<Fit, Unfit> {
    let mut fitting = Fitting { processor, variant, entry, record, faults: Vec::new() };
    fitting.check_grants();
    let inputs = fitting.inputs();
    let outputs = fitting.outputs();
    let requests = fitting.requests();
    fitting.check_topics();
    let parameters = fitting.parameters();
    match fitting.faults.is_empty() {
        true => Ok(Fit { inputs, outputs, requests, parameters }),
        false => Err(Unfit(fitting.faults)),
    }
}

struct Fitting<'a> {
    processor: &'a str,
    variant: &'a str,
    entry: &'a Entry,
    record: &'a ComponentRecord,
    faults: Vec<Mismatch>,
}

impl<'a> Fitting<'a> {
    fn descriptor(&self) -> &'a Descriptor {
        &self.record.descriptor
    }

    fn check_grants(&mut self) {
        for wanted in self.descriptor().grants.iter().filter(|grant| !grant.optional) {
            if !self.record.grants.iter().any(|given| given.grant == wanted.grant) {
                self.faults.push(Mismatch::MissingGrant { grant: wanted.grant.clone() });
            }
        }
    }

    fn topic(&mut self, name: &str, what: &'static str) -> Option<Topic> {
        let Some(text) = self.entry.topics.get(name) else {
            self.faults.push(Mismatch::MissingTopic { what, name: name.to_owned() });
            return None;
        };
        text.parse().map_err(|source| self.faults.push(Mismatch::NotATopic { name: name.to_owned(), source })).ok()
    }

    fn inputs(&mut self) -> Vec<FitInput> {
        let mut inputs = Vec::new();
        for spec in &self.descriptor().consumers {
            inputs.extend(self.input(spec));
        }
        inputs
    }

    fn input(&mut self, spec: &ConsumerSpec) -> Option<FitInput> {
        let topic = self.topic(&spec.name, "the input")?;
        if !topic.class().has_queues() {
            self.faults.push(Mismatch::InputWithoutQueue { input: spec.name.clone(), topic });
            return None;
        }
        let subscription = processor_subscription(self.processor, self.variant, &spec.name);
        let queue = subscription.and_then(|subscription| Queue::new(topic, subscription));
        let queue = queue.map_err(|source| self.faults.push(Mismatch::InputQueue { input: spec.name.clone(), source })).ok()?;
        let concurrency = self.record.concurrency.unwrap_or_else(|| self.descriptor().concurrency_of(spec)).clamp(1, MAX_CONCURRENCY);
        Some(FitInput { name: spec.name.clone(), queue, concurrency, reply: spec.reply.clone() })
    }

    fn outputs(&mut self) -> Vec<FitOutput> {
        let descriptor = self.descriptor();
        let mut outputs = Vec::new();
        for spec in descriptor.producers.iter().filter(|spec| spec.name != "*") {
            let topic = match spec.optional && !self.entry.topics.contains_key(&spec.name) {
                true => None,
                false => self.topic(&spec.name, "the output"),
            };
            outputs.push(self.output(&spec.name, topic));
        }
        if descriptor.has_open_outputs() {
            let open: Vec<&String> = self.entry.topics.keys().filter(|name| !self.is_declared(name)).collect();
            for name in open {
                let topic = self.topic(name, "the output");
                outputs.push(self.output(name, topic));
            }
        }
        outputs
    }

    fn output(&self, name: &str, topic: Option<Topic>) -> FitOutput {
        FitOutput { name: name.to_owned(), topic, consumed: self.entry.consumed.iter().any(|consumed| consumed == name) }
    }

    fn requests(&mut self) -> Vec<FitRequest> {
        let mut requests = Vec::new();
        for spec in &self.descriptor().requests {
            let request = self.topic(&spec.request, "the request");
            let response = self.topic(&spec.response, "the response");
            if let Some(topic) = response.as_ref().filter(|topic| topic.class() != Class::Response) {
                self.faults.push(Mismatch::OtherThanResponse { name: spec.response.clone(), topic: topic.clone() });
            }
            if let (Some(request), Some(response)) = (request, response) {
                requests.push(FitRequest { name: spec.name.clone(), request, response, timeout_ms: spec.timeout_ms });
            }
        }
        requests
    }

    fn is_declared(&self, name: &str) -> bool {
        let descriptor = self.descriptor();
        descriptor.consumers.iter().any(|spec| spec.name == name)
            || descriptor.producers.iter().any(|spec| spec.name == name)
            || descriptor.requests.iter().any(|spec| spec.request == name || spec.response == name)
    }

    fn check_topics(&mut self) {
        if self.descriptor().has_open_outputs() {
            return;
        }
        let descriptor = self.descriptor();
        let inputs: Arc<[String]> = descriptor.consumers.iter().map(|spec| spec.name.clone()).collect();
        let outputs: Arc<[String]> = descriptor.producers.iter().map(|spec| spec.name.clone()).collect();
        let unknown = |name: &&String| !self.is_declared(name);
        let mismatch = |name: &String| Mismatch::UnknownTopic { name: name.clone(), inputs: inputs.clone(), outputs: outputs.clone() };
        let mismatches: Vec<Mismatch> = self.entry.topics.keys().filter(unknown).map(mismatch).collect();
        self.faults.extend(mismatches);
    }

    fn parameters(&mut self) -> Vec<(String, String)> {
        let mut parameters = self.entry.parameters.clone();
        for spec in &self.descriptor().parameters {
            match (parameters.get(&spec.name), &spec.default) {
                (Some(value), _) => {
                    if let Err(source) = spec.check_value(value) {
                        self.faults.push(Mismatch::Value { parameter: spec.name.clone(), source });
                    }
                }
                (None, Some(default)) => {
                    parameters.insert(spec.name.clone(), default.clone());
                }
                (None, None) if spec.required => {
                    self.faults.push(Mismatch::MissingParameter { parameter: spec.name.clone() });
                }
                (None, None) => {}
            }
        }
        parameters.into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(descriptor: serde_json::Value) -> ComponentRecord {
        let digest = format!("sha256:{}", "00".repeat(32));
        serde_json::from_value(json!({"digest": digest, "size-bytes": 1, "world": "0.1.0", "descriptor": descriptor})).unwrap()
    }

    fn try_fit(descriptor: serde_json::Value, entry: serde_json::Value) -> Result<Fit, Unfit> {
        fit("chunker", "one", &serde_json::from_value(entry).unwrap(), &record(descriptor))
    }

    #[test]
    fn a_fitting_entry_is_complete() {
        let fit = try_fit(
            json!({"schema": 1, "consumers": ["input"], "producers": ["output", {"name": "extra", "optional": true}], "concurrency": 3,
                "parameters": [{"name": "size", "type": "integer", "default": "10"}, "note"]}),
            json!({"topics": {"input": "flow:tg:in", "output": "flow:tg:out"}, "parameters": {"own": "1"}, "consumed": ["output"]}),
        )
        .unwrap();
        assert_eq!(fit.inputs[0].queue.wire_name(), "tg.flow.in.chunker--one--input");
        assert_eq!(fit.inputs[0].concurrency, 3);
        let outputs: Vec<_> = fit.outputs.iter().map(|o| (o.name.as_str(), o.topic.is_some(), o.consumed)).collect();
        assert_eq!(outputs, [("output", true, true), ("extra", false, false)]);
        assert_eq!(fit.parameters, [("own".to_owned(), "1".to_owned()), ("size".to_owned(), "10".to_owned())]);
    }

    #[test]
    fn open_outputs_are_all_other_topics() {
        let fit = try_fit(
            json!({"schema": 1, "consumers": ["input"], "producers": ["*"]}),
            json!({"topics": {"input": "flow:tg:in", "a": "flow:tg:a", "b": "notify:tg:b"}}),
        );
        assert_eq!(fit.unwrap().outputs.iter().map(|o| o.name.clone()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn every_fault_is_reported_by_name() {
        let descriptor = json!({"schema": 1, "consumers": ["input"], "producers": ["output"],
            "parameters": [{"name": "size", "type": "integer"}, {"name": "model", "required": true}],
            "requests": [{"name": "ask", "request": "ask-request", "response": "ask-response"}],
            "grants": [{"grant": "http"}]});
        let entry = json!({"topics": {"input": "queue:tg:in", "outptu": "flow:tg:out"}, "parameters": {"size": "big"}});
        let unfit = try_fit(descriptor, entry).unwrap_err();
        let add = "add it to the processor's `topics` in the blueprint";
        let expected = [
            "the component requires the grant `http`, which its deployment does not have".to_owned(),
            "topic `input`: topic `queue:tg:in` has the unknown class `queue`: it must be flow, request, response or notify".to_owned(),
            format!("the flow assigns no topic to the output `output`: {add}"),
            format!("the flow assigns no topic to the request `ask-request`: {add}"),
            format!("the flow assigns no topic to the response `ask-response`: {add}"),
            "topic `outptu` is neither an input nor an output of the component (inputs: input; outputs: output)".to_owned(),
            "parameter `size`: `big` is not a whole number".to_owned(),
            "parameter `model` is required and not set: set it in the processor's `parameters`".to_owned(),
        ];
        assert_eq!(unfit.to_string(), expected.join("; "));
        assert_eq!(unfit.mismatches().len(), expected.len());
        assert_eq!(unfit.mismatches()[0], Mismatch::MissingGrant { grant: "http".to_owned() });
        assert!(matches!(&unfit.mismatches()[1], Mismatch::NotATopic { source: weir_pubsub::NameError::UnknownClass { .. }, .. }));
    }

    #[test]
    fn answers_arrive_on_response_topics_only() {
        let descriptor = json!({"schema": 1, "requests": [{"name": "ask", "request": "q", "response": "a"}]});
        let of = |topic: &str| try_fit(descriptor.clone(), json!({"topics": {"q": "request:tg:ask", "a": topic}}));
        assert!(of("response:tg:ask").is_ok());
        assert_eq!(of("flow:tg:ask").unwrap_err().to_string(), "topic `a` is flow:tg:ask: answers require a response topic");
    }

    #[test]
    fn a_queue_name_that_is_too_long_is_reported() {
        let topic = format!("flow:tg:{}", "x".repeat(300));
        let faults = try_fit(json!({"schema": 1, "consumers": ["input"]}), json!({"topics": {"input": topic}})).unwrap_err().to_string();
        assert!(faults.contains("the limit is 255"), "{faults}");
    }
}
