//! The flow service.

use anyhow::Context as _;
use weir_config::ConfigClient;
use weir_flow::FlowService;

use super::Context;

/// Starts it; the config service must be there.
pub(super) async fn start(context: &Context<'_>, config: ConfigClient) -> anyhow::Result<FlowService> {
    let started = FlowService::start(context.backend.clone(), config, context.topicspace(), context.settings.flow.clone());
    started.await.context("the flow service did not start")
}
