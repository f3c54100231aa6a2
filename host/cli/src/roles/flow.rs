//! The flow service. It stores nothing in the data folder, so any process can take it over.

use anyhow::Context as _;
use weir_config::ConfigClient;
use weir_flow::FlowService;

use super::Context;
use super::standby::{Role, is_held, take_over};

/// Starts it, or, if the config service is not available yet, as soon as that is available.
pub(super) async fn start(context: &Context<'_>, config: ConfigClient, is_config_there: bool) -> anyhow::Result<Role<FlowService>> {
    let (backend, topicspace, settings) = (context.backend.clone(), context.topicspace().to_owned(), context.settings.flow.clone());
    let begin = move || {
        let (backend, config, topicspace, settings) = (backend.clone(), config.clone(), topicspace.clone(), settings.clone());
        async move { FlowService::start(backend, config, &topicspace, settings).await.context("the flow service did not start") }
    };
    if is_config_there {
        match begin().await {
            Ok(service) => return Ok(Role::Running(service)),
            Err(error) if !is_held(&error) => return Err(error),
            Err(_) => tracing::warn!("standing by: another flow service holds its lock"),
        }
    }
    Ok(Role::StandingBy(tokio::spawn(take_over(begin, || std::future::ready(false)))))
}
