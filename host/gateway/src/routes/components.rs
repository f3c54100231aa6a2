//! `POST /api/v1/weir/components?name=&version=&limits=` and `GET /api/v1/weir/components/{digest}`: the store of components.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use weir_config::names::deployment_key;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, Descriptor, Digest, Entry, GivenLimits, processor_of_entry_type};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigError, Content};
use weir_flow::protocol::PlanRecord;

use super::removal;
use crate::body;
use crate::error::{GatewayError, Result};
use crate::flows;
use crate::forwarding::{Components, forward};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{Deployed, ErrorAnswer, Unreached};
use crate::query::Fields;

/// Number of entry types that are read concurrently.
const READS_COUNT: usize = 16;

/// Under which name and version, by default the descriptor's; and the limits that are given for it, as a JSON object.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeployQuery {
    /// The deployment's name; default: the descriptor's.
    name: Option<String>,
    /// Its version; default: the descriptor's.
    version: Option<String>,
    /// A JSON object of the limits that differ from the settings, for example `{"time-ms": 5000}`. They belong to the version and never
    /// change; all others are taken from the settings.
    limits: Option<String>,
}

/// Binary data.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
struct ComponentBytes(#[allow(dead_code, reason = "it is described, never made")] Vec<u8>);

/// Deploys a component: it is checked without running it, stored, and recorded under a name and version.
#[utoipa::path(
    post,
    path = "/api/v1/weir/components",
    operation_id = "deploy",
    tag = "components",
    params(DeployQuery),
    request_body(content = inline(ComponentBytes), content_type = "application/wasm", description = "The component file"),
    responses(
        (status = 200, description = "Deployed", body = Deployed),
        (status = 409, description = "The version is used by another file, or was deployed with other limits", body = ErrorAnswer),
        (status = 422, description = "The component cannot run on any host; the message states why", body = ErrorAnswer),
    )
)]
pub(crate) async fn post(State(gateway): State<Shared>, Fields(target): Fields<DeployQuery>, request: Request) -> Result<Response> {
    body::expect_type(request.headers(), "application/wasm")?;
    let folder = match &gateway.components {
        Components::Here(folder) => folder,
        Components::At(store) => return forward(&gateway.settings, store, request).await,
    };
    let bytes = body::read(request, gateway.settings.max_component_bytes, gateway.settings.body_timeout).await?;
    let limits = target.limits.as_deref().map(limits_of).transpose()?.unwrap_or_default();
    check_limits(&limits, &gateway)?;
    let record = inspect(&gateway, bytes.clone(), limits).await?;
    let (name, version) = name_of(target, &record.descriptor)?;
    // Before anything is written, so that a failure leaves nothing behind.
    let not_reached = unreached(&gateway, &name, record.digest).await?;
    let key = deployment_key(&name, &version);
    let (record, unchanged) = store(&gateway, folder, &bytes, &key, record).await?;
    tracing::info!(component = key, digest = %record.digest, unchanged, "component deployed");
    Ok(Json(Deployed { name, version, unchanged, record, not_reached }).into_response())
}

/// Downloads a component.
#[utoipa::path(
    get,
    path = "/api/v1/weir/components/{digest}",
    operation_id = "component",
    tag = "components",
    params(("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits")),
    responses(
        (status = 200, description = "The bytes", body = inline(ComponentBytes), content_type = "application/wasm"),
        (status = 404, description = "The component does not exist", body = ErrorAnswer),
    )
)]
pub(crate) async fn get(State(gateway): State<Shared>, Path(digest): Path<String>, request: Request) -> Result<Response> {
    let digest: Digest = digest.parse().map_err(|error: weir_config::records::NotADigest| GatewayError::BadField {
        field: "the digest in the path".to_owned(),
        problem: error.to_string(),
    })?;
    let folder = match &gateway.components {
        Components::Here(folder) => folder,
        Components::At(store) => return forward(&gateway.settings, store, request).await,
    };
    let found = folder.open(digest).await.map_err(GatewayError::ComponentStore)?;
    let stored = found.ok_or(GatewayError::UnknownComponent { digest })?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/wasm")), (CONTENT_LENGTH, stored.size_bytes().into())];
    Ok((headers, Body::from_stream(stored.into_stream())).into_response())
}

/// Stores bytes and record. If the deployment is refused, bytes that were not there before are removed.
async fn store(
    gateway: &Gateway,
    folder: &ComponentFolder,
    bytes: &[u8],
    key: &str,
    record: ComponentRecord,
) -> Result<(ComponentRecord, bool)> {
    let digest = record.digest;
    refuse_taken(gateway, key, digest).await?;
    let turn = gateway.turns.deploying().await;
    let was_there = folder.has(digest);
    folder.put(bytes).await.map_err(GatewayError::ComponentStore)?;
    let put = record_deployment(&gateway.config, key, record).await;
    drop(turn);
    // If no answer arrived, the record may still have been written.
    let may_be_written = matches!(&put, Err(GatewayError::Config(ConfigError::Unavailable { .. } | ConfigError::UnreadableAnswer { .. })));
    if put.is_err() && !may_be_written && !was_there {
        removal::drop_unnamed(gateway, folder, digest).await;
    }
    put
}

/// Refuses a version that is used by another file, before anything is stored.
async fn refuse_taken(gateway: &Gateway, key: &str, given: Digest) -> Result<()> {
    let text = gateway.config.get_one(COMPONENT_TYPE, key).await.map_err(GatewayError::Config)?;
    match text.and_then(|text| serde_json::from_str::<ComponentRecord>(&text).ok()) {
        Some(standing) if standing.digest != given => {
            Err(GatewayError::VersionTaken { key: key.to_owned(), taken: standing.digest, given })
        }
        _ => Ok(()),
    }
}

async fn inspect(gateway: &Gateway, bytes: Bytes, limits: GivenLimits) -> Result<ComponentRecord> {
    let inspect = gateway.inspect.clone();
    let _turn = gateway.checks.acquire().await.expect("the semaphore is never closed");
    let checked = tokio::task::spawn_blocking(move || inspect(&bytes, &limits))
        .await
        .map_err(|_| GatewayError::Broken { what: "the check of the component" })?;
    checked.map_err(|problem| GatewayError::BadComponent { problem })
}

fn name_of(target: DeployQuery, descriptor: &Descriptor) -> Result<(String, String)> {
    let missing = |field: &str, example: &str| GatewayError::BadField {
        field: field.to_owned(),
        problem: format!("is missing from the request and the component's descriptor; add it: `weir deploy {example} FILE.wasm`"),
    };
    let name = target.name.or_else(|| descriptor.name.clone()).ok_or_else(|| missing("name", "NAME@VERSION"))?;
    let version = target.version.or_else(|| descriptor.version.clone()).ok_or_else(|| missing("version", &format!("{name}@VERSION")))?;
    // The same rules as for names in descriptors.
    let named = Descriptor { schema: 1, name: Some(name.clone()), version: Some(version.clone()), concurrency: 1, ..Descriptor::default() };
    match named.check() {
        Ok(()) => Ok((name, version)),
        Err(weir_config::records::DescriptorError::Field { field, problem }) => Err(GatewayError::BadField { field, problem }),
        Err(error) => Err(GatewayError::BadField { field: "name or version".to_owned(), problem: error.to_string() }),
    }
}

/// Records a deployment unless it exists. Returns the stored record, and whether it existed before. An existing record never changes. The bytes must
/// be in the store.
///
/// # Errors
/// `VersionTaken`, `VersionFixed`, `BadDeployment`, `Config`.
pub async fn record_deployment(config: &ConfigClient, key: &str, record: ComponentRecord) -> Result<(ComponentRecord, bool)> {
    if write_record(config, key, &record).await? {
        return Ok((record, false));
    }
    let Some(text) = config.get_one(COMPONENT_TYPE, key).await.map_err(GatewayError::Config)? else {
        return Err(GatewayError::Config(ConfigError::Conflict {
            message: format!("{key} was removed at the same time; deploy it again"),
        }));
    };
    let standing: ComponentRecord = serde_json::from_str(&text).map_err(|error| unreadable(key, &error))?;
    if standing.digest != record.digest {
        return Err(GatewayError::VersionTaken { key: key.to_owned(), taken: standing.digest, given: record.digest });
    }
    match record.limits.differing(&standing.limits) {
        differences if differences.is_empty() => Ok((standing, true)),
        differences => Err(GatewayError::VersionFixed { key: key.to_owned(), differences }),
    }
}

/// The error for an unreadable record, written by another program.
pub(super) fn unreadable(key: &str, error: &serde_json::Error) -> GatewayError {
    GatewayError::BadDeployment { key: key.to_owned(), problem: error.to_string() }
}

/// Writes a record unless it exists; `false` if it exists.
async fn write_record(config: &ConfigClient, key: &str, record: &ComponentRecord) -> Result<bool> {
    let text = serde_json::to_string(record).map_err(|_| GatewayError::Broken { what: "writing the component's record" })?;
    match config.apply(Batch::new().put(COMPONENT_TYPE, key, text).on_condition(COMPONENT_TYPE, key, None)).await {
        Ok(()) => Ok(true),
        Err(ConfigError::Conflict { .. }) => Ok(false),
        Err(error) => Err(GatewayError::Config(error)),
    }
}

/// Refuses limits whose messages the broker would always refuse.
fn check_limits(limits: &GivenLimits, gateway: &Gateway) -> Result<()> {
    let most = gateway.backend.limits().max_settle_bytes;
    match limits.sends_bytes {
        Some(given) if given > most => {
            Err(bad_limits(format!("sends-bytes is {given}, and the broker accepts at most {most} per message: reduce it")))
        }
        _ => Ok(()),
    }
}

/// Parses the given limits. An unknown name is an error, since a misspelled limit protects nothing.
fn limits_of(text: &str) -> Result<GivenLimits> {
    let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| bad_limits(error.to_string()))?;
    if let Some(name) = given.keys().find(|name| !GivenLimits::NAMES.contains(&name.as_str())) {
        let problem = format!("limit `{}` does not exist; must be one of: {}", name.escape_default(), GivenLimits::NAMES.join(", "));
        return Err(bad_limits(problem));
    }
    serde_json::from_value(given.into()).map_err(|error| bad_limits(error.to_string()))
}

fn bad_limits(problem: String) -> GatewayError {
    GatewayError::BadField { field: "limits".to_owned(), problem }
}

/// The running entries of this component's name that run another digest, or none. They are read type by type, since all together may exceed one
/// response.
async fn unreached(gateway: &Gateway, name: &str, digest: Digest) -> Result<Vec<Unreached>> {
    let types = gateway.config.types().await.map_err(GatewayError::Config)?.0.value;
    let types: Vec<String> = types.into_iter().filter(|config_type| processor_of_entry_type(config_type).is_some()).collect();
    let read = async |config_type: String| {
        let values = gateway.config.values(&config_type).await.map_err(GatewayError::Config)?.value;
        Ok::<_, GatewayError>(unreached_of(&config_type, values, name, digest))
    };
    let mut found: Vec<Unreached> = stream::iter(types.into_iter().map(read)).buffered(READS_COUNT).try_concat().await?;
    if found.is_empty() {
        return Ok(found);
    }
    let (_, records) = flows::records(&gateway.config).await?;
    let plans = || records.iter().filter_map(|(id, record)| Some((id, record.plan.as_ref()?)));
    for entry in found.iter_mut().filter(|entry| entry.flow.is_none()) {
        let uses = |plan: &PlanRecord| plan.entries.iter().any(|it| it.processor == entry.processor && it.variant == entry.variant);
        entry.flows = plans().filter(|(_, plan)| uses(plan)).map(|(id, _)| id.clone()).collect();
    }
    found.sort();
    Ok(found)
}

fn unreached_of(config_type: &str, values: Content, name: &str, digest: Digest) -> Vec<Unreached> {
    let processor = processor_of_entry_type(config_type).unwrap_or_default();
    let read = |(variant, value): (String, String)| {
        let Entry { flow, component, .. } = serde_json::from_str::<Entry>(&value).ok()?;
        let is_concerned = component.as_ref().map_or(processor == name, |component| component.name == name && component.digest != digest);
        let runs = component.map(|component| component.key());
        is_concerned.then(|| Unreached { processor: processor.to_owned(), variant, flow, flows: Vec::new(), runs })
    };
    values.into_iter().filter_map(read).collect()
}
