//! Waiting for the dependencies of a role, which is reported once, on the terminal and in the log.

use std::time::Duration;

use tokio::time::Instant;
use weir_config::ConfigClient;
use weir_flow::FlowClient;
use weir_pubsub::chain;

use super::Context;
use crate::logging;
use crate::settings::{LogFormat, Settings};

/// How long to wait before a line on the terminal reports it.
pub(super) const REPORT_DELAY: Duration = Duration::from_secs(1);
/// How long a service may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Prints for people what Weir is waiting for. The log has the cause.
pub(super) fn print(settings: &Settings, what: &str) {
    print_line(settings.log_format, &format!("waiting for {what}; press Ctrl-C to stop Weir"));
}

fn print_line(format: LogFormat, line: &str) {
    if format == LogFormat::Text {
        logging::print(&format!("{line}\n"));
    }
}

/// Waits for the services that a role needs.
#[derive(Clone)]
pub(crate) struct Waiting {
    config: ConfigClient,
    flow: Option<FlowClient>,
    format: LogFormat,
}

impl Waiting {
    /// Only for the config service.
    pub(super) fn for_config(context: &Context<'_>, config: ConfigClient) -> Self {
        Waiting { config, flow: None, format: context.settings.log_format }
    }

    /// For both services.
    pub(super) async fn for_both(context: &Context<'_>, config: ConfigClient) -> anyhow::Result<Self> {
        use anyhow::Context;
        let flow = FlowClient::connect(context.backend.clone(), context.topicspace()).await;
        let flow = flow.context("the flow service cannot be reached")?;
        Ok(Waiting { config, flow: Some(flow), format: context.settings.log_format })
    }

    /// Waits until they answer.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn done(&self) {
        let config = || async { self.config.version().await.map(|_| ()).map_err(|error| chain(&error)) };
        self.until_answers("the config service", config).await;
        if let Some(client) = &self.flow {
            let flow = || async { client.list_blueprints().await.map(|_| ()).map_err(|error| chain(&error)) };
            self.until_answers("the flow service", flow).await;
        }
    }

    /// Retries until there is an answer.
    async fn until_answers<F: Future<Output = Result<(), String>>>(&self, service: &'static str, ask: impl Fn() -> F) {
        let (began, mut is_reported) = (Instant::now(), false);
        loop {
            let error = match tokio::time::timeout(RESPONSE_TIMEOUT, ask()).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error,
                Err(_) => format!("no answer within {} s", RESPONSE_TIMEOUT.as_secs()),
            };
            if began.elapsed() >= REPORT_DELAY && !std::mem::replace(&mut is_reported, true) {
                print_line(self.format, &format!("waiting for {service}; press Ctrl-C to stop Weir"));
                tracing::warn!(service, error, "waiting for a service");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if is_reported {
            print_line(self.format, &format!("{service} answers"));
            tracing::info!(service, "service answers");
        }
    }
}
