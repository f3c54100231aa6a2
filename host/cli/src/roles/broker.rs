//! The way to the broker.

use std::sync::Arc;

use weir_pubsub::{Backend, BrokerSettings, ConnectError, connect};

use super::unusable;
use crate::folder::DataFolder;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

/// Connects to the broker that the settings name.
pub(super) async fn open(folder: &DataFolder, settings: &Settings) -> anyhow::Result<Arc<dyn Backend>> {
    let broker = BrokerSettings { folder: folder.queues(), ..settings.broker.clone() };
    let backend = connect(&broker).await.map_err(|error| match error {
        ConnectError::Open(error) => unusable(folder, error),
        error => Problem::new(Exit::Unavailable, "there is no connection to the broker").because(error),
    })?;
    #[cfg(debug_assertions)]
    break_on_signal(&backend)?;
    Ok(backend)
}

/// SIGUSR2 makes the broker fail, so that a test sees how the process ends then. Debug builds alone have it.
#[cfg(debug_assertions)]
fn break_on_signal(backend: &Arc<dyn Backend>) -> std::io::Result<()> {
    let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2())?;
    let backend = Arc::downgrade(backend);
    tokio::spawn(async move {
        signal.recv().await;
        if let Some(backend) = backend.upgrade() {
            backend.break_for_test();
        }
    });
    Ok(())
}
