//! The operations of the service.

use weir_config::{Batch, ConfigClient};

use crate::blueprint::Blueprint;
use crate::bounds::check_description;
use crate::error::{FlowError, Result};
use crate::lifecycle::{Lifecycle, OrphanAction, StartRequest};
use crate::naming::{check_name, shown};
use crate::plan::{FlowIdentity, Readers, SwapRequest};
use crate::protocol::{BAD_OPERATION, BLUEPRINT_TYPE, Backlog, FLOW_ERROR, FLOW_TYPE, FlowRecord, Request, Response};
use crate::writes::Writes;
use weir_pubsub::chain;

/// The maximum number of notes in one answer.
const MAX_NOTES_COUNT: usize = 50;

/// Executes the request with this id. Errors are part of the answer.
pub(crate) async fn perform(lifecycle: &Lifecycle, config: &ConfigClient, id: &str, request: Request) -> Response {
    match dispatch(lifecycle, config, id, request).await {
        Ok(response) => response,
        Err(error @ FlowError::BadOperation { .. }) => Response::of_error(BAD_OPERATION, error.to_string()),
        Err(error) => Response::of_error(FLOW_ERROR, chain(&error)),
    }
}

async fn dispatch(lifecycle: &Lifecycle, config: &ConfigClient, id: &str, request: Request) -> Result<Response> {
    match request.operation.as_deref().unwrap_or_default() {
        "list-blueprints" => list_blueprints(config).await,
        "get-blueprint" => get_blueprint(config, request).await,
        "put-blueprint" => put_blueprint(&lifecycle.writes, request).await,
        "delete-blueprint" => delete_blueprint(&lifecycle.writes, request).await,
        "list-flows" => list_flows(config).await,
        "get-flow" => get_flow(config, request).await,
        "start-flow" => start_flow(lifecycle, id, request).await,
        "stop-flow" => stop_flow(lifecycle, id, request).await,
        "swap" => swap(lifecycle, id, request).await,
        "list-orphans" => orphans(lifecycle, OrphanAction::List).await,
        "remove-orphans" => remove_orphans(lifecycle, request).await,
        other => Err(FlowError::BadOperation { operation: shown(other) }),
    }
}

/// A field that must be present and not empty.
fn required(field: &'static str, what: &str, value: Option<String>) -> Result<String> {
    value.filter(|text| !text.is_empty()).ok_or_else(|| FlowError::Request { field, problem: format!("{what} is missing: add it") })
}

/// The same, and valid as a new name.
fn new_name(field: &'static str, what: &str, value: Option<String>) -> Result<String> {
    let name = required(field, what, value)?;
    check_name(&name).map_err(|problem| FlowError::Request { field, problem: format!("`{}`: {problem}", shown(&name)) })?;
    Ok(name)
}

async fn list_blueprints(config: &ConfigClient) -> Result<Response> {
    let names = config.list(BLUEPRINT_TYPE).await.map_err(FlowError::config("reading the blueprints"))?.value;
    Ok(Response { blueprint_names: names, ..Response::default() })
}

async fn get_blueprint(config: &ConfigClient, request: Request) -> Result<Response> {
    let name = required("blueprint_name", "blueprint name", request.blueprint_name)?;
    let definition = config.get_one(BLUEPRINT_TYPE, &name).await.map_err(FlowError::config("reading the blueprint"))?;
    Ok(Response { blueprint_definition: definition, ..Response::default() })
}

async fn put_blueprint(writes: &Writes, request: Request) -> Result<Response> {
    let name = new_name("blueprint_name", "blueprint name", request.blueprint_name)?;
    let definition = required("blueprint_definition", "blueprint", request.blueprint_definition)?;
    let notes = Blueprint::parse(&definition)?.unknown;
    let batch = Batch::new().put(BLUEPRINT_TYPE, name, definition);
    writes.write(batch).await.map_err(FlowError::config("writing the blueprint"))?;
    Ok(Response { notes: cut(notes), ..Response::default() })
}

async fn delete_blueprint(writes: &Writes, request: Request) -> Result<Response> {
    let name = required("blueprint_name", "blueprint name", request.blueprint_name)?;
    let batch = Batch::new().delete(BLUEPRINT_TYPE, name);
    writes.write(batch).await.map_err(FlowError::config("deleting the blueprint"))?;
    Ok(Response::default())
}

async fn list_flows(config: &ConfigClient) -> Result<Response> {
    let ids = config.list(FLOW_TYPE).await.map_err(FlowError::config("reading the flows"))?.value;
    Ok(Response { flow_ids: ids, ..Response::default() })
}

async fn get_flow(config: &ConfigClient, request: Request) -> Result<Response> {
    let id = required("flow_id", "flow id", request.flow_id)?;
    let text = config.get_one(FLOW_TYPE, &id).await.map_err(FlowError::config("reading the flow"))?;
    let text = text.ok_or_else(|| FlowError::UnknownFlow { id: shown(&id) })?;
    let record = serde_json::from_str::<FlowRecord>(&text).unwrap_or_default();
    Ok(Response { flow: Some(text), description: Some(record.description), parameters: record.parameters, ..Response::default() })
}

async fn start_flow(lifecycle: &Lifecycle, of: &str, request: Request) -> Result<Response> {
    let blueprint = required("blueprint_name", "blueprint name", request.blueprint_name)?;
    let id = new_name("flow_id", "flow id", request.flow_id)?;
    let description = request
        .description
        .ok_or_else(|| FlowError::Request { field: "description", problem: "is null: give a string, which may be empty".to_owned() })?;
    let flow = FlowIdentity { id, blueprint, description };
    check_description(&flow.description).map_err(|problem| FlowError::Request { field: "description", problem })?;
    let parameters = request.parameters.unwrap_or_default();
    let readers = Readers { are_required: request.require_readers, external: request.external.into_iter().collect() };
    let notes = lifecycle.start(StartRequest { flow, parameters, drop_exits: request.drop_exits, readers, request: of.to_owned() }).await?;
    Ok(Response { notes: cut(notes), ..Response::default() })
}

async fn stop_flow(lifecycle: &Lifecycle, of: &str, request: Request) -> Result<Response> {
    let id = required("flow_id", "flow id", request.flow_id)?;
    let backlog = backlog(request.backlog, Backlog::Discard)?;
    Ok(Response { notes: cut(lifecycle.stop(&id, backlog, of).await?), ..Response::default() })
}

fn backlog(given: Option<serde_json::Value>, default: Backlog) -> Result<Backlog> {
    given.map_or(Ok(default), |given| serde_json::from_value(given.clone()).map_err(|_| bad_backlog(&given)))
}

async fn remove_orphans(lifecycle: &Lifecycle, request: Request) -> Result<Response> {
    let what = match backlog(request.backlog, Backlog::Refuse)? {
        Backlog::Discard => OrphanAction::Discard,
        Backlog::Refuse => OrphanAction::RemoveEmpty,
    };
    orphans(lifecycle, what).await
}

async fn orphans(lifecycle: &Lifecycle, what: OrphanAction) -> Result<Response> {
    Ok(Response { orphans: lifecycle.orphans(what).await?, ..Response::default() })
}

fn bad_backlog(given: &serde_json::Value) -> FlowError {
    let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    FlowError::Request { field: "backlog", problem: format!("must be one of: discard, refuse; not `{}`", shown(&text)) }
}

async fn swap(lifecycle: &Lifecycle, of: &str, request: Request) -> Result<Response> {
    let order = SwapRequest {
        flow: required("flow_id", "flow id", request.flow_id)?,
        processor: required("processor", "processor", request.processor)?,
        component: required("component", "component", request.component)?,
        shared: request.shared,
        forget: request.forget,
    };
    Ok(Response { swapped: Some(lifecycle.swap(order, of).await?), ..Response::default() })
}

fn cut(mut notes: Vec<String>) -> Vec<String> {
    if notes.len() > MAX_NOTES_COUNT {
        let more = notes.len() - MAX_NOTES_COUNT;
        notes.truncate(MAX_NOTES_COUNT);
        notes.push(format!("and {more} more"));
    }
    notes
}
