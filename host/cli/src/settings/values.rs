//! The values of all settings, with their defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use weir_config::records::{ComponentDefaults, ComponentLimits, GrantableLimits, RetryPolicy};
use weir_flow::FlowSettings;
use weir_gateway::GatewaySettings;
use weir_pubsub::BrokerSettings;
use weir_runtime::HostSettings;

use crate::permissions::SharedFolder;

/// The default log filter: state changes in Weir, and warnings of other crates.
pub(crate) const LOGGED: &str = "warn,weir=info,weir_pubsub=info,weir_config=info,weir_flow=info,weir_runtime=info,weir_gateway=info";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    pub(super) fn word(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// All settings of `weir up`. The defaults are those of the crates that they configure.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The gateway's address.
    pub(crate) listen: SocketAddr,
    /// Shutdown grace period for messages in flight.
    pub(crate) grace: Duration,
    /// Whether to use a data folder that all users may write to.
    pub(crate) shared_folder: SharedFolder,
    /// The log filter.
    pub(crate) log_filter: String,
    /// The log format.
    pub(crate) log_format: LogFormat,
    /// Maximum number of component instances; 0: depends on the machine's memory.
    pub(crate) instances_count: u32,
    /// The processors that the host serves; if empty, every entry that names a component. Only from the command line.
    pub(crate) processors: BTreeSet<String>,
    /// The component files for entries of these processors without a component. Only from the command line.
    pub(crate) processor_files: BTreeMap<String, PathBuf>,
    /// Maximum size of unsettled outputs of all processors together, in bytes.
    pub(crate) outputs_bytes: u64,
    /// Maximum size of the disk cache of a host that fetches components, including compiled code, in bytes.
    pub(crate) cache_bytes: u64,
    /// The gateway that stores the components instead of this one.
    pub(crate) components_from: Option<String>,
    /// The file with the token for that gateway.
    pub(crate) components_token_file: Option<PathBuf>,
    /// CAs for its certificate; `None`: those of the system.
    pub(crate) components_ca_file: Option<PathBuf>,
    /// The file with the gateway's tokens. Tokens themselves are never settings, since settings are shown.
    pub(crate) token_file: Option<PathBuf>,
    /// The gateway's certificate.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key.
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether a proxy in front of the gateway terminates TLS.
    pub(crate) behind_proxy: bool,
    /// The gateway's limits.
    pub(crate) gateway: GatewaySettings,
    /// The flow service's limits.
    pub(crate) flow: FlowSettings,
    /// The queues.
    pub(crate) broker: BrokerSettings,
    /// The name under which the programs of one Weir share the broker.
    pub(crate) topicspace: String,
    /// Limits of components that were deployed without their own.
    pub(crate) limits: ComponentLimits,
    /// Upper bounds for limits that a component requests.
    pub(crate) grantable: GrantableLimits,
    /// The retry policy for their failed messages.
    pub(crate) retry: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8088)),
            grace: Duration::from_secs(10),
            shared_folder: SharedFolder::default(),
            log_filter: LOGGED.to_owned(),
            log_format: LogFormat::default(),
            instances_count: 0,
            processors: BTreeSet::new(),
            processor_files: BTreeMap::new(),
            outputs_bytes: weir_runtime::DEFAULT_OUTPUTS_BYTES,
            cache_bytes: 4 << 30,
            components_from: None,
            components_token_file: None,
            components_ca_file: None,
            token_file: None,
            tls_cert: None,
            tls_key: None,
            behind_proxy: false,
            gateway: GatewaySettings::default(),
            flow: FlowSettings::default(),
            broker: BrokerSettings::default(),
            topicspace: "tg".to_owned(),
            limits: ComponentLimits::default(),
            grantable: GrantableLimits::default(),
            retry: RetryPolicy::default(),
        }
    }
}

impl Settings {
    /// The instance slots of the host.
    pub(crate) fn instance_slots_count(&self) -> u32 {
        match self.instances_count {
            0 => HostSettings::instances_for_this_machine(),
            count => count,
        }
    }

    /// The defaults of components whose deployment gives no value.
    pub(crate) fn component_defaults(&self) -> ComponentDefaults {
        ComponentDefaults { limits: self.limits.clone(), retry: self.retry.clone() }
    }
}
