//! The gateway.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_config::ConfigClient;
use weir_config::records::{ComponentRecord, GivenLimits};
use weir_gateway::{ComponentCheck, Components, GatewayError, GatewayParts, GatewaySettings, RemoteGateway, UnusedCode};
use weir_pubsub::{chain, task_failure};
use weir_runtime::{Checker, Inspected, RuntimeError, WORLD_VERSION};

use super::host::{defaults, instances_count};
use super::{Access, Context};
use crate::folder::DataFolder;
use crate::logging;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

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
        let checker = LazyChecker::new(instances_count(settings));
        let parts = GatewayParts {
            backend: context.backend.clone(),
            config,
            components: store.map_or_else(|| context.components.clone().into(), Components::At),
            inspect: inspect_with(settings, checker.clone()),
            defaults: defaults(settings),
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

type MakeChecker = Box<dyn FnOnce() -> Result<Checker, RuntimeError> + Send>;

/// The component checker, created on first use: most starts do not need it.
#[derive(Clone)]
pub(super) struct LazyChecker(Arc<LazyLock<Result<Checker, RuntimeError>, MakeChecker>>);

impl LazyChecker {
    pub(super) fn new(instances_count: u32) -> Self {
        LazyChecker(Arc::new(LazyLock::new(Box::new(move || Checker::new(instances_count)))))
    }

    fn get(&self) -> Result<&Checker, String> {
        LazyLock::force(&self.0).as_ref().map_err(|error| chain(error))
    }
}

/// Checks components under their effective limits: given limits, then those that the component requests, as far as they are granted, then the
/// settings. The record has the first two.
pub(super) fn inspect_with(settings: &Settings, checker: LazyChecker) -> ComponentCheck {
    let (limits, most) = (settings.limits.clone(), settings.grantable.clone());
    Arc::new(move |bytes: &[u8], given: &GivenLimits| {
        let mut granted = given.clone();
        let limits_of = |inspected: &Inspected| {
            granted = inspected.descriptor.limits.granted(given, &most).map_err(|error| error.to_string())?;
            Ok::<_, String>(granted.over(&limits))
        };
        let checked = checker.get()?.check_under(bytes, limits_of).map_err(|fault| chain(&fault))?;
        Ok(ComponentRecord { limits: granted, ..ComponentRecord::from(checked) })
    })
}

/// Finds unused compiled code in the host's folder.
fn unused_code_of(folder: &DataFolder, checker: LazyChecker) -> UnusedCode {
    let cache = folder.cache();
    Arc::new(move |named| checker.get().map_err(std::io::Error::other)?.unused_code(&cache, named))
}
