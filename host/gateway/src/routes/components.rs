//! `POST /api/v1/weir/components?name=&version=&limits=` and `GET /api/v1/weir/components/{digest}`: the store of components.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use weir_config::records::{COMPONENT_TYPE, ComponentLimits, ComponentRecord, Descriptor, Digest, Entry, processor_of_entry_type};
use weir_config::{Batch, ConfigError};

use super::removal;
use crate::body;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{Deployed, ErrorAnswer, Unreached};
use crate::query::Fields;

/// Under which name and version, by default the descriptor's; and its limits, as a JSON object of those that are not the default.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Target {
    /// The deployment's name; by default the descriptor's.
    name: Option<String>,
    /// Its version; by default the descriptor's.
    version: Option<String>,
    /// A JSON object of the limits that are not to be the default, for example `{"time-ms": 5000}`.
    limits: Option<String>,
}

/// A body as the document describes it: not a list of numbers.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
struct ComponentBytes(#[allow(dead_code, reason = "it is described, never made")] Vec<u8>);

/// Brings a component: it is checked without running it, stored, and recorded under a name and version.
#[utoipa::path(
    post,
    path = "/api/v1/weir/components",
    operation_id = "deploy",
    tag = "components",
    params(Target),
    request_body(content = inline(ComponentBytes), content_type = "application/wasm", description = "The bytes of the component"),
    responses(
        (status = 200, description = "It is stored", body = Deployed),
        (status = 409, description = "The version belongs to another file", body = ErrorAnswer),
        (status = 422, description = "No host could run it; the message says why", body = ErrorAnswer),
    )
)]
pub(crate) async fn post(State(gateway): State<Shared>, Fields(target): Fields<Target>, request: Request) -> Result<Json<Deployed>> {
    body::expect_type(request.headers(), "application/wasm")?;
    let bytes = body::read(request, gateway.settings.max_component_bytes, gateway.settings.body_time).await?;
    let memory_bytes = target.limits.as_deref().and_then(memory_limit);
    let mut record = inspect(&gateway, bytes.clone(), memory_bytes).await?;
    let limits = target.limits.as_deref().map(|text| limits_of(text, &record.limits)).transpose()?;
    if let Some(limits) = &limits {
        check_limits(limits, &gateway)?;
        record.limits = limits.clone();
    }
    let (name, version) = name_of(target, &record.descriptor)?;
    let (record, unchanged) = store(&gateway, &bytes, &format!("{name}@{version}"), record, limits).await?;
    let not_reached = unreached(&gateway, &name, record.digest).await?;
    tracing::info!(component = %format!("{name}@{version}"), digest = %record.digest, unchanged, "component deployed");
    Ok(Json(Deployed { name, version, unchanged, record, not_reached }))
}

/// The bytes of a component.
#[utoipa::path(
    get,
    path = "/api/v1/weir/components/{digest}",
    operation_id = "component",
    tag = "components",
    params(("digest" = String, Path, description = "`sha256:` and 64 hexadecimal digits")),
    responses((status = 200, description = "The bytes", body = inline(ComponentBytes), content_type = "application/wasm"))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Path(digest): Path<String>) -> Result<Response> {
    let digest: Digest = digest.parse().map_err(|error: weir_config::records::NotADigest| GatewayError::BadField {
        field: "the digest in the path".to_owned(),
        problem: error.to_string(),
    })?;
    let found = gateway.components.get(digest).await.map_err(GatewayError::ComponentStore)?;
    let bytes = found.ok_or(GatewayError::UnknownComponent { digest })?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
    Ok(response)
}

/// The memory that the request gives the component, which it must be able to begin in. That the text is what it must be is checked later.
fn memory_limit(limits: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(limits).ok()?.get("memory-bytes")?.as_u64()
}

/// Stores bytes and record. Of a deployment that is refused no bytes stay that were not there before.
async fn store(
    gateway: &Gateway,
    bytes: &[u8],
    key: &str,
    record: ComponentRecord,
    limits: Option<ComponentLimits>,
) -> Result<(ComponentRecord, bool)> {
    let digest = record.digest;
    refuse_taken(gateway, key, digest).await?;
    let turn = gateway.turns.deploying().await;
    let was_there = gateway.components.has(digest);
    gateway.components.put(bytes).await.map_err(GatewayError::ComponentStore)?;
    let put = put_record(gateway, key, record, limits).await;
    drop(turn);
    // After an answer that did not come the record may be written all the same.
    let may_be_written = matches!(&put, Err(GatewayError::Config(ConfigError::Unavailable { .. } | ConfigError::UnreadableAnswer { .. })));
    if put.is_err() && !may_be_written && !was_there {
        removal::drop_unnamed(gateway, digest).await;
    }
    put
}

/// Refuses a version that belongs to other bytes before anything is stored.
async fn refuse_taken(gateway: &Gateway, key: &str, given: Digest) -> Result<()> {
    let text = gateway.config.get_one(COMPONENT_TYPE, key).await.map_err(GatewayError::Config)?;
    match text.and_then(|text| serde_json::from_str::<ComponentRecord>(&text).ok()) {
        Some(standing) if standing.digest != given => {
            Err(GatewayError::VersionTaken { key: key.to_owned(), taken: standing.digest, given })
        }
        _ => Ok(()),
    }
}

async fn inspect(gateway: &Gateway, bytes: Bytes, memory_bytes: Option<u64>) -> Result<ComponentRecord> {
    let inspect = gateway.inspect.clone();
    let _turn = gateway.checks.acquire().await.expect("the semaphore is never closed");
    let checked = tokio::task::spawn_blocking(move || inspect(&bytes, memory_bytes))
        .await
        .map_err(|_| GatewayError::Broken { what: "the check of the component" })?;
    checked.map_err(|problem| GatewayError::BadComponent { problem })
}

fn name_of(target: Target, descriptor: &Descriptor) -> Result<(String, String)> {
    let missing = |field: &str, example: &str| GatewayError::BadField {
        field: field.to_owned(),
        problem: format!("is in neither the request nor the component's descriptor; say it: `weir deploy {example} FILE.wasm`"),
    };
    let name = target.name.or_else(|| descriptor.name.clone()).ok_or_else(|| missing("name", "NAME@VERSION"))?;
    let version = target.version.or_else(|| descriptor.version.clone()).ok_or_else(|| missing("version", &format!("{name}@VERSION")))?;
    // The same rules as for the names in descriptors.
    let named = Descriptor { schema: 1, name: Some(name.clone()), version: Some(version.clone()), concurrency: 1, ..Descriptor::default() };
    match named.check() {
        Ok(()) => Ok((name, version)),
        Err(weir_config::records::DescriptorError::Field { field, problem }) => Err(GatewayError::BadField { field, problem }),
        Err(error) => Err(GatewayError::BadField { field: "name or version".to_owned(), problem: error.to_string() }),
    }
}

/// Records a deployment unless it is there; the record that stands, and whether it stood before. Of one that is there only the limits can
/// change, and only if they were given.
async fn put_record(
    gateway: &Gateway,
    key: &str,
    record: ComponentRecord,
    limits: Option<ComponentLimits>,
) -> Result<(ComponentRecord, bool)> {
    if write_record(gateway, key, &record, None).await? {
        return Ok((record, false));
    }
    let text = gateway.config.get_one(COMPONENT_TYPE, key).await.map_err(GatewayError::Config)?.unwrap_or_default();
    let mut standing: ComponentRecord =
        serde_json::from_str(&text).map_err(|source| GatewayError::NotJson { what: format!("the record of {key}"), source })?;
    if standing.digest != record.digest {
        return Err(GatewayError::VersionTaken { key: key.to_owned(), taken: standing.digest, given: record.digest });
    }
    let Some(limits) = limits.filter(|limits| *limits != standing.limits) else { return Ok((standing, true)) };
    standing.limits = limits;
    match write_record(gateway, key, &standing, Some(text)).await? {
        true => Ok((standing, false)),
        false => {
            Err(GatewayError::Config(ConfigError::Conflict { message: format!("{key} was changed by somebody else at the same time") }))
        }
    }
}

/// Writes a record if the one before is this one; `false` if it is not.
async fn write_record(gateway: &Gateway, key: &str, record: &ComponentRecord, before: Option<String>) -> Result<bool> {
    let text = serde_json::to_string(record).map_err(|_| GatewayError::Broken { what: "writing the component's record" })?;
    match gateway.config.apply(Batch::new().put(COMPONENT_TYPE, key, text).only_if(COMPONENT_TYPE, key, before)).await {
        Ok(()) => Ok(true),
        Err(ConfigError::Conflict { .. }) => Ok(false),
        Err(error) => Err(GatewayError::Config(error)),
    }
}

/// Refuses what the broker would refuse each time.
fn check_limits(limits: &ComponentLimits, gateway: &Gateway) -> Result<()> {
    let most = gateway.backend.limits().max_settle_bytes;
    if limits.sends_bytes <= most {
        return Ok(());
    }
    let problem = format!("sends-bytes is {}, and the broker takes at most {most} for one message: lower it", limits.sends_bytes);
    Err(GatewayError::BadField { field: "limits".to_owned(), problem })
}

/// Reads limits; those that are not named have their defaults. A name that is none is an error, since a limit that is not there protects nobody.
fn limits_of(text: &str, defaults: &ComponentLimits) -> Result<ComponentLimits> {
    let wrong = |problem: String| GatewayError::BadField { field: "limits".to_owned(), problem };
    let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut known = serde_json::to_value(defaults).map_err(|_| GatewayError::Broken { what: "reading limits" })?;
    if let Some(name) = given.keys().find(|name| known.get(name.as_str()).is_none()) {
        let names: Vec<&str> = known.as_object().into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
        return Err(wrong(format!("there is no limit `{}`; the limits are {}", name.escape_default(), names.join(", "))));
    }
    given.into_iter().for_each(|(name, value)| known[name] = value);
    serde_json::from_value(known).map_err(|error| wrong(error.to_string()))
}

/// The running entries of this component's name that run another digest.
async fn unreached(gateway: &Gateway, name: &str, digest: Digest) -> Result<Vec<Unreached>> {
    let everything = gateway.config.everything().await.map_err(GatewayError::Config)?.value;
    let mut found = Vec::new();
    for (config_type, values) in &everything {
        let Some(processor) = processor_of_entry_type(config_type) else { continue };
        for (variant, value) in values {
            let Ok(entry) = serde_json::from_str::<Entry>(value) else { continue };
            let concerned =
                entry.component.as_ref().map_or(processor == name, |component| component.name == name && component.digest != digest);
            if concerned {
                let runs = entry.component.map(|component| component.key());
                found.push(Unreached { processor: processor.to_owned(), variant: variant.clone(), flow: entry.flow, runs });
            }
        }
    }
    found.sort();
    Ok(found)
}
