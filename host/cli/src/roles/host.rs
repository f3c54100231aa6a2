//! The host of processors.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use weir_config::ConfigClient;
use weir_pubsub::task_failure;
use weir_runtime::{EngineStart, Host, HostSettings, Served};

use super::Context;
use super::components::HostComponents;
use super::deploying::deploy_once_reachable;
use crate::folder::DataFolder;
use crate::holder::machine;
use crate::settings::Settings;

/// A running host, and files that it still has to deploy.
pub(super) struct HostRole {
    host: Host,
    deploying: JoinSet<()>,
}

impl HostRole {
    /// Waits until it has ended unexpectedly, and returns the reason.
    ///
    /// # Cancel safety
    /// Yes.
    pub(super) async fn failed(&mut self) -> String {
        tokio::select! {
            reason = self.host.failed() => reason,
            Some(Err(error)) = self.deploying.join_next() => format!("deploying a file: {}", task_failure(error)),
        }
    }

    /// Stops it: messages in flight have this long to complete.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.deploying.shutdown().await;
        // It reports itself what exceeded the grace period.
        drop(self.host.stop(grace).await);
    }
}

/// Starts creating its engine, which needs neither the broker nor another role.
pub(super) fn engine(folder: &DataFolder, settings: &Settings) -> EngineStart {
    EngineStart::begin(settings.instance_slots_count(), folder.cache())
}

/// Starts it on an engine of [`engine`].
pub(super) async fn start(
    context: &Context<'_>,
    engine: EngineStart,
    config: ConfigClient,
    provided: HostComponents,
    name: Option<String>,
) -> anyhow::Result<HostRole> {
    let HostComponents { source, given, cache_bytes, to_deploy } = provided;
    let machine = machine();
    let settings = context.settings;
    let host = HostSettings {
        id: host_id(),
        name: name.unwrap_or_else(|| format!("{machine}-{}", std::process::id())),
        machine,
        topicspace: context.topicspace().to_owned(),
        components: source,
        code_cache: context.folder.cache(),
        served: if settings.processors.is_empty() { Served::All } else { Served::Names(settings.processors.clone()) },
        given,
        cache_bytes,
        instances_count: settings.instance_slots_count(),
        outputs_bytes: settings.outputs_bytes,
        dead_letters_max_bytes: settings.flow.dead_letters_max_bytes,
        defaults: settings.component_defaults(),
    };
    let host = Host::start_on(engine, context.backend.clone(), config, host).await.context("the host of processors did not start")?;
    let mut deploying = JoinSet::new();
    for (gateway, file) in to_deploy {
        deploying.spawn(async move { deploy_once_reachable(&gateway, &file).await });
    }
    Ok(HostRole { host, deploying })
}

/// Unique for each process, even if processes in several containers have the same id and start at the same time.
fn host_id() -> String {
    format!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}
