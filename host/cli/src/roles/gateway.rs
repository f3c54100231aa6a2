//! The gateway.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_config::ConfigClient;
use weir_gateway::{Components, GatewayError, GatewayParts, GatewaySettings, RemoteGateway};
use weir_pubsub::{chain, task_failure};
use weir_runtime::WORLD_VERSION;

use super::component_check::{LazyChecker, inspect_with, unused_code_of};
use super::{Access, Context};
use crate::logging;
use crate::problem::{Exit, Problem};

/// A running gateway.
pub(super) struct GatewayRole {
    serving: JoinSet<Result<(), GatewayError>>,
    token: CancellationToken,
}

impl GatewayRole {
    /// Starts it on a listener of [`bind`]. It stores components unless another gateway does.
    pub(super) fn start(
        context: &Context<'_>,
        config: ConfigClient,
        listener: TcpListener,
        access: &Access,
        store: Option<RemoteGateway>,
    ) -> Self {
        let settings = context.settings;
        let checker = LazyChecker::new(settings.instance_slots_count());
        let parts = GatewayParts {
            backend: context.backend.clone(),
            config,
            components: store.map_or_else(|| context.components.clone().into(), Components::At),
            inspect: inspect_with(settings, checker.clone()),
            defaults: settings.component_defaults(),
            unused_code: unused_code_of(context.folder, checker),
            topicspace: context.topicspace().to_owned(),
            contract: WORLD_VERSION,
            dropped_log_lines: logging::dropped_count,
            settings: GatewaySettings {
                tokens: access.tokens(),
                tls: access.tls(),
                drain_timeout: drain_timeout(settings.grace),
                ..settings.gateway.clone()
            },
        };
        let (mut serving, token) = (JoinSet::new(), CancellationToken::new());
        serving.spawn(weir_gateway::serve(listener, parts, token.clone()));
        GatewayRole { serving, token }
    }

    /// Waits until it has ended unexpectedly, and returns the reason.
    ///
    /// # Cancel safety
    /// Yes.
    pub(super) async fn failed(&mut self) -> String {
        match self.serving.join_next().await {
            Some(Ok(Err(error))) => chain(&error),
            Some(Err(error)) => task_failure(error),
            Some(Ok(Ok(()))) | None => "it ended unexpectedly".to_owned(),
        }
    }

    /// Stops it: requests in progress have this long to complete.
    pub(super) async fn stop(mut self, time: Duration) {
        self.token.cancel();
        if tokio::time::timeout(time, self.serving.join_next()).await.is_err() {
            tracing::warn!("requests in flight aborted");
        }
        self.serving.shutdown().await;
    }
}

/// Binds the gateway's address.
pub(super) async fn bind(listen: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(listen).await.map_err(|error| {
        Problem::new(Exit::Unavailable, format!("the gateway cannot listen on {listen}"))
            .because(error)
            .next("stop the process that uses this port, or choose another: --listen 127.0.0.1:0 selects a free one")
    })
}

/// How long requests in progress may take on shutdown: the gateway has half of the grace period, and its last responses need some of that.
fn drain_timeout(grace: Duration) -> Duration {
    GatewaySettings::default().drain_timeout.min(grace / 4)
}
