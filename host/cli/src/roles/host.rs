//! The host of processors.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use weir_config::ConfigClient;
use weir_config::records::ComponentDefaults;
use weir_runtime::{Host, HostSettings, Served};

use super::Context;
use crate::settings::Settings;

/// Starts it.
pub(super) async fn start(context: &Context<'_>, config: ConfigClient) -> anyhow::Result<Host> {
    let settings = context.settings;
    let host = HostSettings {
        id: host_id(),
        topicspace: context.topicspace().to_owned(),
        components: Arc::new(context.components.clone()),
        code_cache: context.folder.cache(),
        served: if settings.processors.is_empty() { Served::All } else { Served::Names(settings.processors.clone()) },
        instances_count: instances_count(settings),
        outputs_bytes: settings.outputs_bytes,
        dead_letters_max_bytes: settings.flow.dead_letters_max_bytes,
        defaults: defaults(settings),
    };
    Host::start(context.backend.clone(), config, host).await.context("the host of processors did not start")
}

/// The instance slots of the host.
pub(super) fn instances_count(settings: &Settings) -> u32 {
    match settings.instances_count {
        0 => HostSettings::instances_for_this_machine(),
        count => count,
    }
}

/// What holds for components whose deployment gives nothing else.
pub(super) fn defaults(settings: &Settings) -> ComponentDefaults {
    ComponentDefaults { limits: settings.limits.clone(), retry: settings.retry.clone() }
}

/// Different for each process: its number, and when it started.
fn host_id() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}", std::process::id(), since_1970.as_millis())
}
