//! A scripted config service, for notifications and answers that the real one never sends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use weir_config::protocol::{ConfigLimit, Notify, Request, Response, ServiceError, Value};
use weir_pubsub::{Backend, CORRELATION_ID, ConsumerOptions, Message, Producer, Queue, QueueSpec};

/// What the service does with one request instead of answering it normally.
pub(crate) enum Instead {
    /// Answers with an error.
    Fail,
    /// Answers that the answer is too large.
    TooLarge,
    /// Does not answer.
    Silence,
    /// Sends something that is not an answer.
    Nonsense,
    /// Answers with another version.
    Version(u64),
    /// Makes a change and notifies of it, then answers with the state before it.
    StaleBehind(Notify, (&'static str, &'static str, &'static str)),
    /// Makes a change and notifies of it, then answers with the state after it.
    FreshBehind(Notify, (&'static str, &'static str, &'static str)),
}

#[derive(Default)]
struct State {
    version: u64,
    config: BTreeMap<String, BTreeMap<String, String>>,
    script: VecDeque<Instead>,
    /// The requests in order of arrival: `config`, `getvalues TYPE`, `get TYPE/KEY ...`.
    log: Vec<String>,
}

/// The service; it ends when it is dropped.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    notifies: Box<dyn Producer>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts with these values at this version.
    pub(crate) async fn start(backend: &Arc<dyn Backend>, version: u64, values: &[(&str, &str, &str)]) -> Self {
        let topic = |class: &str| format!("{class}:tg:config").parse().unwrap();
        let queue = Queue::new(topic("request"), "config-svc".parse().unwrap()).unwrap();
        backend.ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        let requests = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
        let answers = backend.producer(&topic("response")).await.unwrap();
        let notifies = backend.producer(&topic("notify")).await.unwrap();
        let told = backend.producer(&topic("notify")).await.unwrap();
        let state = Arc::new(Mutex::new(State { version, ..State::default() }));
        let (shared, backend) = (state.clone(), backend.clone());
        let task = tokio::spawn(async move {
            while let Ok(delivery) = requests.receive().await {
                let id = delivery.message.properties.get(CORRELATION_ID).unwrap_or_default().to_owned();
                let request = Request::read(&delivery.message.body).unwrap();
                let (notify, answer) = shared.lock().unwrap().answer(&request);
                if let Some(notify) = notify {
                    told.publish_confirmed(Message::new(serde_json::to_vec(&notify).unwrap())).await.unwrap();
                }
                if let Some(answer) = answer {
                    answers.publish_confirmed(Message::new(answer).with(CORRELATION_ID, id)).await.unwrap();
                }
                backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
            }
        });
        let fake = Fake { state, notifies, task };
        for (config_type, key, value) in values {
            fake.set(version, config_type, key, value);
        }
        fake
    }

    /// Changes a value without a notification.
    pub(crate) fn set(&self, version: u64, config_type: &str, key: &str, value: &str) {
        self.state.lock().unwrap().set(version, (config_type, key, value));
    }

    /// Deletes a value without a notification.
    pub(crate) fn unset(&self, version: u64, config_type: &str, key: &str) {
        let mut state = self.state.lock().unwrap();
        state.version = version;
        state.config.entry(config_type.to_owned()).or_default().remove(key);
    }

    /// Changes the version and nothing else.
    pub(crate) fn move_to(&self, version: u64) {
        self.state.lock().unwrap().version = version;
    }

    /// Does this with the next request that has no such order yet.
    pub(crate) fn instead(&self, instead: Instead) {
        self.state.lock().unwrap().script.push_back(instead);
    }

    pub(crate) async fn notify(&self, notify: Notify) {
        self.notify_raw(&serde_json::to_string(&notify).unwrap()).await;
    }

    pub(crate) async fn notify_raw(&self, body: &str) {
        self.notifies.publish_confirmed(Message::new(body.to_owned())).await.unwrap();
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn set(&mut self, version: u64, (config_type, key, value): (&str, &str, &str)) {
        self.version = version;
        self.config.entry(config_type.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// The notification to send first, and the answer.
    fn answer(&mut self, request: &Request) -> (Option<Notify>, Option<Vec<u8>>) {
        self.log.push(line(request));
        let before = self.response(request);
        let body = |response: Response| Some(serde_json::to_vec(&response).unwrap());
        match self.script.pop_front() {
            None => (None, body(before)),
            Some(Instead::Fail) => {
                let error = Some(ServiceError { kind: "config-error".into(), message: "by script".into() });
                (None, body(Response { error, ..Response::default() }))
            }
            Some(Instead::TooLarge) => {
                let error = Some(ServiceError { kind: "config-error".into(), message: "too large by script".into() });
                (None, body(Response { error, exceeded: Some(ConfigLimit::Answer), ..Response::default() }))
            }
            Some(Instead::Silence) => (None, None),
            Some(Instead::Nonsense) => (None, Some(b"nonsense".to_vec())),
            Some(Instead::Version(version)) => (None, body(Response { version, ..before })),
            Some(Instead::StaleBehind(notify, change)) => {
                self.set(notify.version, change);
                (Some(notify), body(before))
            }
            Some(Instead::FreshBehind(notify, change)) => {
                self.set(notify.version, change);
                (Some(notify), body(self.response(request)))
            }
        }
    }

    fn response(&self, request: &Request) -> Response {
        let mut response = Response { version: self.version, ..Response::default() };
        let config_type = request.config_type.clone().unwrap_or_default();
        let value_at = |config_type: &str, key: &str| self.config.get(config_type).and_then(|values| values.get(key)).cloned();
        match request.operation.as_deref() {
            Some("list-types") => {
                let with_values = self.config.iter().filter(|(_, values)| !values.is_empty());
                response.directory = with_values.map(|(name, _)| name.clone()).collect();
            }
            Some("config") => response.config = self.config.clone(),
            Some("getvalues") => {
                let values = self.config.get(&config_type).cloned().unwrap_or_default();
                let value = |(key, value)| Value { config_type: config_type.clone(), key, value: Some(value) };
                response.values = values.into_iter().map(value).collect();
            }
            Some("get") => {
                let keys = request.keys.clone().unwrap_or_default();
                response.values = keys
                    .into_iter()
                    .map(|k| Value { value: value_at(&k.config_type, &k.key), config_type: k.config_type, key: k.key })
                    .collect();
            }
            other => panic!("{other:?} is not in the script"),
        }
        response
    }
}

fn line(request: &Request) -> String {
    let operation = request.operation.as_deref().unwrap_or_default();
    let keys: Vec<_> = request.keys.iter().flatten().map(|key| format!("{}/{}", key.config_type, key.key)).collect();
    format!("{operation} {}{}", request.config_type.as_deref().unwrap_or_default(), keys.join(" ")).trim_end().to_owned()
}

pub(crate) fn notify(version: u64, types: &[&str]) -> Notify {
    Notify { version, types: types.iter().map(ToString::to_string).collect(), keys: None }
}

pub(crate) fn notify_keys(version: u64, keys: &[(&str, &[&str])]) -> Notify {
    let types = keys.iter().map(|(config_type, _)| (*config_type).to_owned()).collect();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Notify { version, types, keys: Some(keys.iter().map(|(config_type, keys)| ((*config_type).to_owned(), names(keys))).collect()) }
}
