//! The operations of the service: a request in, a response and notifications out.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::Batch;
use crate::error::{ConfigError, Result};
use crate::protocol::{Notify, Request, RequestFault, Response, ServiceError};
use crate::size::{Capacity, MAX_CONFIGURATION_BYTES};
use crate::store::{Applied, Store};
use weir_pubsub::chain;

/// Maximum number of keys in a notify; with more it only has the types.
const MAX_NOTIFIED_KEYS_COUNT: usize = 64;

/// The outcome of a request.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// The changes, to be notified before the response is sent.
    pub(crate) notify: Option<Notify>,
}

/// Executes a request. Every error becomes a response.
pub(crate) async fn perform(store: &Store, request: Result<Request, RequestFault>, limit_bytes: usize) -> Outcome {
    let request = match request {
        Ok(request) => request,
        Err(fault) => return refusal("config-error", chain(&fault)),
    };
    let operation = request.operation.as_deref().unwrap_or_default();
    let done = match operation {
        "put" => put(store, request, limit_bytes).await,
        "delete" => delete(store, request, limit_bytes).await,
        "get" | "list" | "getvalues" | "config" | "list-types" => read(store, request, limit_bytes).await.map(Outcome::of_read),
        unknown => return refusal("bad-operation", unknown_operation(unknown)),
    };
    done.unwrap_or_else(|error| match error {
        ConfigError::Conflict { message } => refusal("conflict", message),
        error => failure(&error),
    })
}

impl Outcome {
    fn of_read(response: Response) -> Self {
        Outcome { response, notify: None }
    }
}

/// An error response.
pub(crate) fn refusal(kind: &str, message: String) -> Outcome {
    let error = Some(ServiceError { kind: kind.to_owned(), message });
    Outcome { response: Response { error, ..Response::default() }, notify: None }
}

/// The same from an error, with the fields for programs.
pub(crate) fn failure(error: &ConfigError) -> Outcome {
    let Outcome { response, notify } = refusal("config-error", chain(error));
    Outcome { response: Response { exceeded: error.exceeded(), ..response }, notify }
}

fn unknown_operation(operation: &str) -> String {
    let shown = weir_pubsub::shown(operation);
    format!("field `operation`: `{shown}` is unknown; must be one of: get, list, getvalues, put, delete, config, list-types")
}

async fn read(store: &Store, request: Request, limit_bytes: usize) -> Result<Response> {
    let mut response = Response::default();
    match request.operation.as_deref() {
        Some("get") => {
            let read = store.get(&present(request.keys, "keys")?, limit_bytes).await?;
            (response.version, response.values) = (read.version, read.value);
        }
        Some("list") => {
            let read = store.list(&present(request.config_type, "type")?, limit_bytes).await?;
            (response.version, response.directory) = (read.version, read.value);
        }
        Some("getvalues") => {
            let config_type = present(request.config_type, "type")?;
            let read = store.values(&config_type, limit_bytes).await?;
            let value_of = |(key, value)| crate::protocol::Value { config_type: config_type.clone(), key, value: Some(value) };
            (response.version, response.values) = (read.version, read.value.into_iter().map(value_of).collect());
        }
        Some("list-types") => {
            let read = store.types().await?;
            (response.version, response.directory) = (read.version, read.value);
            response.usage = Some(store.usage(limit_bytes.min(MAX_CONFIGURATION_BYTES)).await?);
        }
        _ => {
            let read = store.everything(limit_bytes).await?;
            (response.version, response.config) = (read.version, read.value);
        }
    }
    Ok(response)
}

async fn put(store: &Store, request: Request, limit_bytes: usize) -> Result<Outcome> {
    let put = present(request.values, "values")?;
    // Here `keys` is an extension that other clients do not know: from them, null means unused.
    let delete = request.keys.unwrap_or_default();
    write(store, Batch { put, delete, conditions: request.conditions, capacity: capacity(request.reserve) }, limit_bytes).await
}

async fn delete(store: &Store, request: Request, limit_bytes: usize) -> Result<Outcome> {
    let delete = present(request.keys, "keys")?;
    write(store, Batch { put: Vec::new(), delete, conditions: request.conditions, capacity: capacity(request.reserve) }, limit_bytes).await
}

fn capacity(reserve: bool) -> Capacity {
    if reserve { Capacity::Reserve } else { Capacity::Common }
}

async fn write(store: &Store, batch: Batch, limit_bytes: usize) -> Result<Outcome> {
    let notify = match store.apply_within(&batch, limit_bytes.min(MAX_CONFIGURATION_BYTES)).await? {
        Applied::Nothing => None,
        Applied::Step { version, changed } => Some(notify_of(version, changed)),
    };
    Ok(Outcome { response: Response::default(), notify })
}

fn notify_of(version: u64, changed: BTreeMap<String, BTreeSet<String>>) -> Notify {
    let types = changed.keys().cloned().collect();
    let keys_count: usize = changed.values().map(BTreeSet::len).sum();
    let keys = (keys_count <= MAX_NOTIFIED_KEYS_COUNT)
        .then(|| changed.into_iter().map(|(config_type, keys)| (config_type, keys.into_iter().collect())).collect());
    Notify { version, types, keys }
}

fn present<T>(field: Option<T>, name: &str) -> Result<T> {
    field.ok_or_else(|| ConfigError::Refused { reason: format!("field `{name}` is null: this operation requires it") })
}
