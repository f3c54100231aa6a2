//! The client of the config service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_pubsub::{Backend, Message, Requester, Subscription};

use crate::batch::{Batch, MAX_REQUEST_ENTRIES_COUNT, Versioned};
use crate::error::{ConfigError, Result};
use crate::protocol::{Key, Request, Response, Usage, Value};
use crate::store::Everything;
use crate::topics::ConfigTopics;

/// Time limit of a request, the same as in other clients of the protocol.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a state that is read in portions is reread because it changed meanwhile.
const MAX_STATE_READS_COUNT: u32 = 10;

/// A client of the config service. Cloning is cheap; clones share one subscription for answers.
///
/// Nothing is retried: a read may be repeated if its error [is temporary](ConfigError::is_transient); a failed write may have been executed.
#[derive(Clone)]
pub struct ConfigClient {
    inner: Arc<Inner>,
}

struct Inner {
    topics: ConfigTopics,
    timeout: Duration,
    requester: Requester,
}

impl ConfigClient {
    /// Subscribes to the answers. The service need not be running yet.
    ///
    /// # Errors
    /// `Topicspace`, `Unavailable`.
    pub async fn connect(backend: Arc<dyn Backend>, topicspace: &str) -> Result<Self> {
        Self::connect_with(backend, topicspace, TIMEOUT).await
    }

    /// The same with a time limit per request other than 10 s.
    ///
    /// # Errors
    /// `Topicspace`, `Unavailable`.
    pub async fn connect_with(backend: Arc<dyn Backend>, topicspace: &str, timeout: Duration) -> Result<Self> {
        let topics = ConfigTopics::of(topicspace)?;
        let name: Subscription = "config-client".parse().expect("a plain word is a subscription");
        let requester = Requester::connect(backend, &topics.request, &topics.response, &name).await.map_err(ConfigError::of_pubsub)?;
        Ok(ConfigClient { inner: Arc::new(Inner { topics, timeout, requester }) })
    }

    /// The values of keys, one per key in the same order, `None` for missing ones.
    ///
    /// # Errors
    /// `Unavailable`, `Answered`, `TooLarge`, `UnreadableAnswer`.
    pub async fn get(&self, keys: &[Key]) -> Result<Versioned<Vec<Value>>> {
        let request = Request { keys: Some(keys.to_vec()), ..of_operation("get") };
        let response = self.ask(&request).await?;
        Ok(Versioned { version: response.version, value: response.values })
    }

    /// The value of one key.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn get_one(&self, config_type: &str, key: &str) -> Result<Option<String>> {
        let key = Key { config_type: config_type.to_owned(), key: key.to_owned() };
        let values = self.get(&[key]).await?.value;
        Ok(values.into_iter().next().and_then(|value| value.value))
    }

    /// The keys of a type.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn list(&self, config_type: &str) -> Result<Versioned<Vec<String>>> {
        let request = Request { config_type: Some(config_type.to_owned()), ..of_operation("list") };
        let response = self.ask(&request).await?;
        Ok(Versioned { version: response.version, value: response.directory })
    }

    /// The types that have values, and the total size. If the config service is not Weir's, everything is requested instead, and the size is unknown.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn types(&self) -> Result<(Versioned<Vec<String>>, Option<Usage>)> {
        match self.ask(&of_operation("list-types")).await {
            Ok(response) => Ok((Versioned { version: response.version, value: response.directory }, response.usage)),
            Err(ConfigError::Answered { kind, .. }) if kind == "bad-operation" => {
                let everything = self.everything().await?;
                let types = everything.value.into_iter().filter(|(_, values)| !values.is_empty()).map(|(name, _)| name).collect();
                Ok((Versioned { version: everything.version, value: types }, None))
            }
            Err(error) => Err(error),
        }
    }

    /// The values of a type, by key. If they are too large for one answer, they are read in portions; the version is the lowest of all answers.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn values(&self, config_type: &str) -> Result<Versioned<BTreeMap<String, String>>> {
        match self.values_at_once(config_type).await {
            Err(error) if error.is_about_size() => {
                let Versioned { version, value: keys } = self.list(config_type).await?;
                let keys = keys.into_iter().map(|key| Key { config_type: config_type.to_owned(), key }).collect();
                let read = self.get_in_portions(keys).await?;
                let pair = |(key, text): (Key, String)| (key.key, text);
                Ok(Versioned { version: read.version.min(version), value: read.value.into_iter().map(pair).collect() })
            }
            read => read,
        }
    }

    /// The values of the existing ones of these keys, in as many requests as needed. The version is the lowest of all answers.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn get_in_portions(&self, keys: Vec<Key>) -> Result<Versioned<Vec<(Key, String)>>> {
        if keys.is_empty() {
            return Ok(Versioned { version: self.version().await?, value: Vec::new() });
        }
        let mut read = Versioned { version: u64::MAX, value: Vec::with_capacity(keys.len()) };
        let mut portions: Vec<Vec<Key>> = keys.chunks(MAX_REQUEST_ENTRIES_COUNT).rev().map(<[Key]>::to_vec).collect();
        while let Some(mut portion) = portions.pop() {
            match self.get(&portion).await {
                Ok(answer) => {
                    read.version = read.version.min(answer.version);
                    let pair = |Value { config_type, key, value }| value.map(|text| (Key { config_type, key }, text));
                    read.value.extend(answer.value.into_iter().filter_map(pair));
                }
                Err(error) if portion.len() > 1 && error.is_about_size() => {
                    let rest = portion.split_off(portion.len() / 2);
                    portions.extend([rest, portion]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// A consistent snapshot of the values of the chosen types: in one request, or in portions if everything does not fit into one answer, which is
    /// repeated if something changed meanwhile.
    ///
    /// # Errors
    /// As [`ConfigClient::get`], and `Conflict` if something changed each time.
    pub async fn state_of(&self, chosen: impl Fn(&str) -> bool) -> Result<Versioned<Everything>> {
        match self.everything().await {
            Err(error) if error.is_about_size() => {}
            read => {
                let mut read = read?;
                read.value.retain(|config_type, _| chosen(config_type));
                return Ok(read);
            }
        }
        for _ in 0..MAX_STATE_READS_COUNT {
            let (Versioned { version, value: types }, _) = self.types().await?;
            let mut all = Everything::new();
            for config_type in types.into_iter().filter(|config_type| chosen(config_type)) {
                let values = self.values(&config_type).await?.value;
                all.insert(config_type, values);
            }
            if self.version().await? == version {
                return Ok(Versioned { version, value: all });
            }
        }
        Err(ConfigError::Conflict { message: "the configuration kept changing while it was read in portions; try again".to_owned() })
    }

    async fn values_at_once(&self, config_type: &str) -> Result<Versioned<BTreeMap<String, String>>> {
        let request = Request { config_type: Some(config_type.to_owned()), ..of_operation("getvalues") };
        let response = self.ask(&request).await?;
        let pair = |value: Value| value.value.map(|text| (value.key, text));
        Ok(Versioned { version: response.version, value: response.values.into_iter().filter_map(pair).collect() })
    }

    /// Everything, by type and key.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn everything(&self) -> Result<Versioned<Everything>> {
        let response = self.ask(&of_operation("config")).await?;
        Ok(Versioned { version: response.version, value: response.config })
    }

    /// The current version.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub async fn version(&self) -> Result<u64> {
        Ok(self.get(&[]).await?.version)
    }

    /// Writes a batch atomically, with one increment of the version and one notify. When this returns, the batch is durable and the notify is sent.
    ///
    /// # Errors
    /// `Conflict` if a condition does not hold, `TooLarge`, `Refused` or `Answered`: nothing was changed. `Unavailable`: the batch may still have
    /// been written.
    ///
    /// # Cancel safety
    /// The batch may still be written, completely or not at all.
    pub async fn apply(&self, batch: Batch) -> Result<()> {
        batch.check()?;
        self.ask(&batch.into_request()).await.map(|_| ())
    }

    async fn ask(&self, request: &Request) -> Result<Response> {
        let answer =
            self.inner.requester.request(Message::new(request.body()), self.inner.timeout).await.map_err(ConfigError::of_pubsub)?;
        let response: Response = serde_json::from_slice(&answer.body).map_err(|source| ConfigError::UnreadableAnswer { source })?;
        match response.error.clone() {
            None => Ok(response),
            Some(error) if error.kind == "conflict" => Err(ConfigError::Conflict { message: error.message }),
            Some(error) => Err(ConfigError::Answered { kind: error.kind, message: error.message, exceeded: response.exceeded }),
        }
    }
}

impl std::fmt::Debug for ConfigClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigClient").field("topic", &self.inner.topics.request).finish_non_exhaustive()
    }
}

fn of_operation(operation: &str) -> Request {
    Request { operation: Some(operation.to_owned()), ..Request::default() }
}
