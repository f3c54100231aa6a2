//! `POST /api/v1/weir/components?name=&version=` and `GET /api/v1/weir/components/{digest}`: the store of components.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, Descriptor, Digest, Entry, processor_of_entry_type};
use weir_config::{Batch, ConfigError};

use crate::body;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{Deployed, Unreached};

/// Under which name and version; by default the descriptor's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    name: Option<String>,
    version: Option<String>,
}

/// Checks a component without running it, stores it, and records it as a deployment.
pub(crate) async fn post(State(gateway): State<Shared>, Query(target): Query<Target>, request: Request) -> Result<Json<Deployed>> {
    body::expect_type(request.headers(), "application/wasm")?;
    let bytes = body::read(request, gateway.settings.max_component_bytes, gateway.settings.body_time).await?;
    let record = inspect(&gateway, bytes.clone()).await?;
    let (name, version) = name_of(target, &record.descriptor)?;
    gateway.components.put(&bytes).await.map_err(GatewayError::ComponentStore)?;
    let (record, unchanged) = put_record(&gateway, &name, &version, record).await?;
    let not_reached = unreached(&gateway, &name, record.digest).await?;
    tracing::info!(component = %format!("{name}@{version}"), digest = %record.digest, unchanged, "component deployed");
    Ok(Json(Deployed { name, version, unchanged, record, not_reached }))
}

/// The bytes of a component.
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

async fn inspect(gateway: &Gateway, bytes: Bytes) -> Result<ComponentRecord> {
    let inspect = gateway.inspect.clone();
    let checked = tokio::task::spawn_blocking(move || inspect(&bytes))
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

/// Records a deployment unless it is there; the record that stands, and whether it stood before.
async fn put_record(gateway: &Gateway, name: &str, version: &str, record: ComponentRecord) -> Result<(ComponentRecord, bool)> {
    let key = format!("{name}@{version}");
    let broken = |_| GatewayError::Broken { what: "writing the component's record" };
    let text = serde_json::to_string(&record).map_err(broken)?;
    let batch = Batch::new().put(COMPONENT_TYPE, key.as_str(), text).only_if(COMPONENT_TYPE, key.as_str(), None);
    match gateway.config.apply(batch).await {
        Ok(()) => return Ok((record, false)),
        Err(ConfigError::Conflict { .. }) => {}
        Err(error) => return Err(GatewayError::Config(error)),
    }
    let standing = gateway.config.get_one(COMPONENT_TYPE, &key).await.map_err(GatewayError::Config)?.unwrap_or_default();
    let standing: ComponentRecord =
        serde_json::from_str(&standing).map_err(|source| GatewayError::NotJson { what: format!("the record of {key}"), source })?;
    if standing.digest != record.digest {
        return Err(GatewayError::VersionTaken { key, taken: standing.digest, given: record.digest });
    }
    Ok((standing, true))
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
