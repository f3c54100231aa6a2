//! `POST /api/v1/weir/components/remove` and `.../prune`: removes deployments, and files that are no longer used.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, Digest};
use weir_config::{Batch, ComponentFolder, ConfigError, UnusedFile, remove_unused};
use weir_flow::references::{entries_naming, named_digests, names_components};
use weir_pubsub::shown;

use crate::body;
use crate::error::{GatewayError, Result};
use crate::forwarding::{Components, forward};
use crate::gateway::{Gateway, Shared};
use crate::protocol::{ErrorAnswer, PruneRequest, Pruned, RemoveComponent, RemovedComponent, pruned};

const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Maximum number of entries that an error lists.
const LISTED_COUNT: usize = 20;

/// Removes a deployment: its record, so that it can no longer be started. Its file stays until it is pruned.
#[utoipa::path(
    post,
    path = "/api/v1/weir/components/remove",
    operation_id = "remove-component",
    tag = "components",
    request_body(content = RemoveComponent, description = "Which deployment"),
    responses(
        (status = 200, description = "Removed", body = RemovedComponent),
        (status = 404, description = "The deployment does not exist", body = ErrorAnswer),
        (status = 409, description = "Entries use it; the message lists them", body = ErrorAnswer),
    )
)]
pub(crate) async fn remove(State(gateway): State<Shared>, request: Request) -> Result<Json<RemovedComponent>> {
    let RemoveComponent { component } = body::read_as(request, MAX_REQUEST_BYTES, gateway.settings.body_timeout).await?;
    let everything = gateway.config.state_of(names_components).await.map_err(GatewayError::Config)?.value;
    let deployed = everything.get(COMPONENT_TYPE);
    let Some(text) = deployed.and_then(|deployed| deployed.get(&component)) else {
        return Err(GatewayError::UnknownDeployment { key: shown(&component) });
    };
    refuse_named(&component, entries_naming(&component, &everything))?;
    let batch = Batch::new().delete(COMPONENT_TYPE, &component).on_condition(COMPONENT_TYPE, &component, Some(text.clone()));
    gateway.config.apply(batch).await.map_err(GatewayError::Config)?;
    // A flow may have been started with it in between.
    let now = gateway.config.state_of(names_components).await.map_err(GatewayError::Config)?.value;
    let naming = entries_naming(&component, &now);
    if !naming.is_empty() {
        let back = Batch::new().put(COMPONENT_TYPE, &component, text).on_condition(COMPONENT_TYPE, &component, None);
        match gateway.config.apply(back).await {
            Ok(()) | Err(ConfigError::Conflict { .. }) => refuse_named(&component, naming)?,
            Err(error) => return Err(GatewayError::Config(error)),
        }
    }
    // An unreadable record has no names to report.
    let record: Option<ComponentRecord> = serde_json::from_str(text).ok();
    tracing::info!(component, "component removed");
    let (digest, size_bytes) = record.map(|record| (record.digest, record.size_bytes)).unzip();
    Ok(Json(RemovedComponent { component, digest, size_bytes }))
}

fn refuse_named(component: &str, mut naming: Vec<String>) -> Result<()> {
    if naming.is_empty() {
        return Ok(());
    }
    let more_count = naming.len().saturating_sub(LISTED_COUNT);
    naming.truncate(LISTED_COUNT);
    if more_count > 0 {
        naming.push(format!("{more_count} more"));
    }
    Err(GatewayError::ComponentInUse { component: component.to_owned(), entries: naming.join(", ") })
}

/// Removes component files and compiled code that no deployment, entry or flow refers to, and leftovers of interrupted writes.
#[utoipa::path(
    post,
    path = "/api/v1/weir/components/prune",
    operation_id = "prune-components",
    tag = "components",
    request_body(content = PruneRequest, description = "Whether to remove the files or only to list them"),
    responses((status = 200, description = "The files, removed or listed", body = Pruned))
)]
pub(crate) async fn prune(State(gateway): State<Shared>, request: Request) -> Result<Response> {
    let folder = match &gateway.components {
        Components::Here(folder) => folder,
        Components::At(store) => return forward(&gateway.settings, store, request).await,
    };
    let PruneRequest { dry_run } = body::read_as(request, MAX_REQUEST_BYTES, gateway.settings.body_timeout).await?;
    let _alone = gateway.turns.alone().await;
    let everything = gateway.config.state_of(names_components).await.map_err(GatewayError::Config)?.value;
    let named = named_digests(&everything);
    let mut files = folder.unused(&named).await.map_err(GatewayError::ComponentStore)?;
    files.extend(unused_code(&gateway, named).await?);
    let failures = if dry_run { Vec::new() } else { removed(files.clone()).await };
    let pruned = pruned(&files, dry_run, &failures);
    tracing::info!(dry_run, files_count = pruned.files.len(), size_bytes = pruned.size_bytes, "unused files of components pruned");
    Ok(Json(pruned).into_response())
}

async fn unused_code(gateway: &Gateway, named: BTreeSet<Digest>) -> Result<Vec<UnusedFile>> {
    let find = gateway.unused_code.clone();
    let found = tokio::task::spawn_blocking(move || find(&named)).await;
    found.map_err(|_| GatewayError::Broken { what: "the search for compiled code" })?.map_err(GatewayError::CompiledCode)
}

async fn removed(files: Vec<UnusedFile>) -> Vec<(std::path::PathBuf, std::io::Error)> {
    tokio::task::spawn_blocking(move || remove_unused(&files)).await.unwrap_or_default()
}

/// Removes the bytes of a component that was refused, unless something refers to them.
pub(crate) async fn drop_unnamed(gateway: &Gateway, folder: &ComponentFolder, digest: Digest) {
    let _alone = gateway.turns.alone().await;
    let Ok(everything) = gateway.config.state_of(names_components).await else { return };
    if named_digests(&everything.value).contains(&digest) {
        return;
    }
    if let Err(error) = folder.remove(digest).await {
        tracing::warn!(%digest, error = %weir_pubsub::chain(&error), "file of a refused component not removed; weir prune removes it");
    }
}
