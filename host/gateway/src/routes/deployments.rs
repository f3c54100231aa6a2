//! `GET /api/v1/weir/deployments/{deployment}`: one deployment with its effective limits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, Effective};

use super::components::unreadable;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::protocol::{Deployment, EffectiveLimit, ErrorAnswer, LimitSource};

/// Returns one deployment: its record, its effective limits, and the source of each value.
#[utoipa::path(
    get,
    path = "/api/v1/weir/deployments/{deployment}",
    operation_id = "deployment",
    tag = "components",
    params(("deployment" = String, Path, description = "`NAME@VERSION`")),
    responses(
        (status = 200, description = "The deployment", body = Deployment),
        (status = 404, description = "The deployment does not exist", body = ErrorAnswer),
        (status = 409, description = "Its record exceeds a limit or cannot be read", body = ErrorAnswer),
    )
)]
pub(crate) async fn get(State(gateway): State<Shared>, Path(key): Path<String>) -> Result<Json<Deployment>> {
    let found = gateway.config.get_one(COMPONENT_TYPE, &key).await.map_err(GatewayError::Config)?;
    let text = found.ok_or_else(|| GatewayError::UnknownDeployment { key: weir_pubsub::shown(&key) })?;
    let record: ComponentRecord = serde_json::from_str(&text).map_err(|error| unreadable(&key, &error))?;
    let limits = by_name(record.limits.effective(&gateway.defaults.limits));
    let retry = by_name(record.retry.effective(&gateway.defaults.retry));
    Ok(Json(Deployment { component: key, limits, retry, record }))
}

fn by_name(values: Vec<Effective>) -> BTreeMap<String, EffectiveLimit> {
    let from = |is_given: bool| if is_given { LimitSource::Deployment } else { LimitSource::Settings };
    values.into_iter().map(|it| (it.name.to_owned(), EffectiveLimit { value: it.value, from: from(it.is_given) })).collect()
}
