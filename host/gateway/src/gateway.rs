//! The state shared by all requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use weir_config::names;
use weir_config::records::{ComponentDefaults, ComponentRecord, Digest, GivenLimits};
use weir_config::{ConfigClient, Follower, UnusedFile};
use weir_flow::protocol::FLOW_TYPE;
use weir_pubsub::{Backend, NameError, Subscription, Topic};

use crate::budget::Budget;
use crate::dispatch::{Connector, FlowDirectory};
use crate::error::{GatewayError, Result};
use crate::exit::Leases;
use crate::forwarding::Components;
use crate::hosts::{DetailsRequester, Hosts, Reports};
use crate::metrics::open::OpenCounts;
use crate::metrics::requests::Requests;
use crate::services::Services;
use crate::settings::GatewaySettings;
use crate::store_lock::Turns;

/// Checks the bytes of a component without running it, under the `memory-bytes` that its deployment requests, if any. Returns the record to store, or
/// what is wrong and how to fix it. It may block for seconds.
pub type ComponentCheck = Arc<dyn Fn(&[u8], &GivenLimits) -> Result<ComponentRecord, String> + Send + Sync>;

/// Finds the files of compiled code that no host would use if only these digests are in use. It reads a folder.
pub type UnusedCode = Arc<dyn Fn(&BTreeSet<Digest>) -> std::io::Result<Vec<UnusedFile>> + Send + Sync>;

/// The parts of a gateway.
pub struct GatewayParts {
    /// The broker.
    pub backend: Arc<dyn Backend>,
    /// To read flows and components and to record deployments.
    pub config: ConfigClient,
    /// Where the bytes of components are stored.
    pub components: Components,
    /// Checks components.
    pub inspect: ComponentCheck,
    /// The defaults of components whose deployment gives no value.
    pub defaults: ComponentDefaults,
    /// Finds unused compiled code.
    pub unused_code: UnusedCode,
    /// The topicspace that is served.
    pub topicspace: String,
    /// The newest version of `weir:processor` that `inspect` checks against.
    pub contract: &'static str,
    /// How many lines the log of the process has dropped, for `/metrics`.
    pub dropped_log_lines: fn() -> u64,
    /// Limits and time-outs.
    pub settings: GatewaySettings,
}

/// The state behind every route.
pub(crate) struct Gateway {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: ConfigClient,
    pub(crate) components: Components,
    pub(crate) inspect: ComponentCheck,
    pub(crate) defaults: ComponentDefaults,
    pub(crate) unused_code: UnusedCode,
    /// Limits the checks of components to one at a time: each may use a CPU core for seconds.
    pub(crate) checks: Semaphore,
    /// Turns at the store of components.
    pub(crate) turns: Turns,
    pub(crate) topicspace: String,
    pub(crate) contract: &'static str,
    /// The description of all paths.
    pub(crate) document: fn() -> &'static OpenApi,
    pub(crate) dropped_log_lines: fn() -> u64,
    pub(crate) settings: GatewaySettings,
    pub(crate) services: Services,
    pub(crate) dispatch: Arc<FlowDirectory>,
    pub(crate) hosts: Hosts,
    /// Requests details from hosts.
    pub(crate) details_requester: DetailsRequester,
    pub(crate) requests: Requests,
    pub(crate) open: Arc<OpenCounts>,
    /// The budget for bytes of requests and responses.
    pub(crate) budget: Arc<Budget>,
    /// Leases on messages of exits.
    pub(crate) leases: Arc<Leases>,
    /// Slots for WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    /// Cancelled on shutdown: streams end then.
    pub(crate) stopping: CancellationToken,
}

/// The background subscriptions of a gateway, until shutdown.
pub(crate) struct Listeners {
    /// The hosts' reports.
    pub(crate) reports: Reports,
    /// The flows.
    pub(crate) follower: Follower,
}

/// The state as passed to handlers.
pub(crate) type Shared = Arc<Gateway>;

impl Gateway {
    /// Connects to the services and subscribes to the hosts' reports. The services need not be running yet.
    pub(crate) async fn connect(
        parts: GatewayParts,
        document: fn() -> &'static OpenApi,
        stopping: CancellationToken,
    ) -> Result<(Shared, Listeners)> {
        let GatewayParts { backend, config, components, inspect, defaults, unused_code, topicspace, contract, dropped_log_lines, settings } =
            parts;
        let services = Services::connect(&backend, &topicspace, settings.service_timeout).await?;
        let subscription: Subscription = "gateway".parse().expect("a plain word is a subscription");
        let topic = |named: Result<Topic, NameError>| named.map_err(GatewayError::topicspace);
        let details_requester = DetailsRequester::new(backend.clone(), topic(names::status_asks(&topicspace))?);
        let (summaries, details) = (topic(names::status_summaries(&topicspace))?, topic(names::status_details(&topicspace))?);
        let reports = Reports::subscribe(&backend, summaries, details, &subscription)
            .await
            .map_err(GatewayError::broker("subscribing to the reports of hosts failed"))?;
        let follower = Follower::new(backend.clone(), &topicspace, config.clone()).map_err(GatewayError::Config)?;
        let open: Arc<OpenCounts> = Arc::default();
        let link = Connector::new(backend.clone(), subscription, open.clone());
        let dispatch = Arc::new(FlowDirectory::new(config.clone(), link, &follower.handle(), stopping.clone()));
        let follower = follower.on([FLOW_TYPE], {
            let dispatch = dispatch.clone();
            move |change| {
                dispatch.apply(&change);
                std::future::ready(Ok(()))
            }
        });
        let max_sockets_count = settings.max_sockets_count;
        let budget = Arc::new(Budget::new(settings.max_held_bytes));
        let gateway = Gateway {
            backend,
            config,
            dispatch,
            components,
            inspect,
            defaults,
            unused_code,
            checks: Semaphore::new(1),
            turns: Turns::default(),
            topicspace,
            contract,
            document,
            dropped_log_lines,
            settings,
            services,
            hosts: Hosts::default(),
            details_requester,
            requests: Requests::default(),
            open,
            budget,
            leases: Arc::default(),
            sockets: Arc::new(Semaphore::new(max_sockets_count)),
            stopping,
        };
        Ok((Arc::new(gateway), Listeners { reports, follower }))
    }
}
