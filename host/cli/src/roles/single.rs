//! One role in this process. The others are in other processes on the same broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;
use weir_config::{ComponentFolder, ConfigService};
use weir_flow::FlowService;
use weir_pubsub::{Backend, Notice};

use super::all::{close, is_broken};
use super::gateway::GatewayRole;
use super::host::HostRole;
use super::host_options::HostOptions;
use super::standby::Role;
use super::waiting::Waiting;
use super::{Access, Context, broker, components, config, flow, gateway, host};
use crate::folder::DataFolder;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;
use crate::supervisor::{EndedRole, Watched, first_to_end};

/// The role chosen on the command line, with what it needs besides the settings.
pub(crate) enum Chosen<'a> {
    /// The config service.
    Config,
    /// The flow service.
    Flow,
    /// A host of processors.
    Host(HostOptions),
    /// A gateway, and access to it.
    Gateway(&'a Access),
}

/// A role that is running or standing by.
pub(crate) struct Single {
    backend: Arc<dyn Backend>,
    waiting: Option<Waiting>,
    part: Part,
}

enum Part {
    Config(Role<ConfigService>),
    Flow(Role<FlowService>),
    Host(Box<HostRole>),
    Gateway { role: GatewayRole, address: SocketAddr },
}

impl Single {
    /// Starts it. Waits for the broker, and for the flow service also for the config service.
    ///
    /// # Cancel safety
    /// Yes: what was started is stopped.
    pub(crate) async fn start(chosen: Chosen<'_>, folder: &DataFolder, settings: &Settings) -> anyhow::Result<Self> {
        Self::begin(chosen, folder, settings).await.map_err(|error| broker::explained(settings, error))
    }

    async fn begin(chosen: Chosen<'_>, folder: &DataFolder, settings: &Settings) -> anyhow::Result<Self> {
        // First, since waiting does not help if the port is in use.
        let listener = match &chosen {
            Chosen::Gateway(_) => Some(gateway::bind(settings.listen).await?),
            Chosen::Config | Chosen::Flow | Chosen::Host(_) => None,
        };
        let backend = broker::open(folder, settings).await?;
        let context = Context { folder, settings, backend: backend.clone(), components: ComponentFolder::new(folder.components()) };
        let client = context.config_client().await?;
        let (part, waiting) = match (chosen, listener) {
            (Chosen::Config, _) => {
                let role = config::start(&context, &client).await?;
                if matches!(role, Role::Off) {
                    return Err(second_config().into());
                }
                (Part::Config(role), None)
            }
            (Chosen::Flow, _) => {
                Waiting::for_config(&context, client.clone()).done().await;
                (Part::Flow(flow::start(&context, client, true).await?), None)
            }
            (Chosen::Host(options), _) => {
                let waiting = Waiting::for_config(&context, client.clone());
                let provided = components::of_host(&context, &options).await?;
                (
                    Part::Host(Box::new(host::start(&context, host::engine(folder, settings), client, provided, options.name).await?)),
                    Some(waiting),
                )
            }
            (Chosen::Gateway(access), listener) => {
                let listener = listener.context("the gateway has no listener")?;
                let address = listener.local_addr().context("the gateway's address is not known")?;
                let store = components::store_elsewhere(settings)?;
                let waiting = Waiting::for_both(&context, client.clone()).await?;
                (Part::Gateway { role: GatewayRole::start(&context, client, listener, access, store), address }, Some(waiting))
            }
        };
        Ok(Single { backend, waiting, part })
    }

    /// For people, with an article.
    pub(crate) fn name(&self) -> &'static str {
        match self.part {
            Part::Config(_) => "the config service",
            Part::Flow(_) => "the flow service",
            Part::Host(_) => "the host of processors",
            Part::Gateway { .. } => "the gateway",
        }
    }

    /// The gateway's address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.part {
            Part::Gateway { address, .. } => Some(address),
            Part::Config(_) | Part::Flow(_) | Part::Host(_) => None,
        }
    }

    /// What it is waiting for, if anything.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.waiting.clone()
    }

    /// Notices for people about what was found on start-up.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let of_service = match &self.part {
            Part::Config(role) => role.notice(),
            Part::Flow(role) => role.notice(),
            Part::Host(_) | Part::Gateway { .. } => None,
        };
        let of_service = of_service.map(|text| Notice { count: None, text });
        self.backend.notices().into_iter().chain(of_service).collect()
    }

    /// Waits until it ends unexpectedly.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn failed(&mut self) -> EndedRole {
        let name = self.name();
        let Single { backend, part, .. } = self;
        let ended = async {
            match part {
                Part::Config(role) => config_failed(role).await,
                Part::Flow(role) => role.failed().await,
                Part::Host(host) => host.failed().await,
                Part::Gateway { role, .. } => role.failed().await,
            }
        };
        first_to_end(vec![Watched::new("the broker", backend.failed()), Watched::new(name, ended)]).await
    }

    /// Stops it, and closes the connection to the broker.
    pub(crate) async fn stop(self, grace: Duration) {
        let grace = if is_broken(&*self.backend) { Duration::ZERO } else { grace };
        let deadline = Instant::now() + grace.max(Duration::from_secs(1));
        let stopped = async {
            match self.part {
                Part::Config(role) => role.stop().await,
                Part::Flow(role) => role.stop().await,
                Part::Host(host) => host.stop(grace).await,
                Part::Gateway { role, .. } => role.stop(grace).await,
            }
        };
        // At the end of the grace period a host drops what is left itself, which takes a moment longer.
        if tokio::time::timeout_at(deadline + LONGEST_DROP, stopped).await.is_err() {
            tracing::warn!("role aborted");
        }
        close(&*self.backend).await;
    }
}

/// How much longer than the grace period a role may take to stop.
const LONGEST_DROP: Duration = Duration::from_secs(6);

/// Waits until the config service has failed; it must not run beside another one.
async fn config_failed(role: &mut Role<ConfigService>) -> String {
    if let Err(reason) = role.decided().await {
        return reason;
    }
    match role {
        Role::Off => "another config service answers on this broker".to_owned(),
        role => role.failed().await,
    }
}

fn second_config() -> Problem {
    Problem::new(Exit::Unavailable, "another config service answers on this broker: only one is allowed")
        .next("stop that one first; a `weir up` on this broker also runs one, unless it uses that of another process")
}
