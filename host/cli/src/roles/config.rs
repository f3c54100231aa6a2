//! The config service.

use anyhow::Context as _;
use weir_config::{ConfigService, Store};

use super::{Context, unusable};

/// Starts it on the store in the data folder.
pub(super) async fn start(context: &Context<'_>) -> anyhow::Result<ConfigService> {
    let store = Store::open(&context.folder.config()).await.map_err(|error| unusable(context.folder, error))?;
    ConfigService::start(context.backend.clone(), context.topicspace(), store).await.context("the config service did not start")
}
