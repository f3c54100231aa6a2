//! Settings of the broker: which one Weir uses, and how.

use std::path::PathBuf;

use crate::embedded::EmbeddedOptions;
use crate::limits::Limits;
use crate::pulsar::PulsarSettings;
use crate::tls_files::TlsFiles;

/// The URL of the embedded broker, which runs inside this process.
pub const EMBEDDED_URL: &str = "embedded:";

/// Which broker is used, and how.
#[derive(Clone)]
pub struct BrokerSettings {
    /// Its scheme selects the broker; `embedded:` is the one inside this process.
    pub url: String,
    /// The folder in which a broker inside this process stores its queues.
    pub folder: PathBuf,
    /// Limits that apply with any broker.
    pub limits: Limits,
    /// Files for TLS connections to an external broker.
    pub tls: TlsFiles,
    /// The URL of an external broker's management API; without it, its queues cannot be listed, and its policies are unknown.
    pub management: Option<String>,
    /// Settings of Pulsar beside its URL; ignored for other brokers.
    pub pulsar: PulsarSettings,
    /// Options of a broker inside this process; ignored for other brokers: see [`BrokerSettings::storage`].
    pub embedded: EmbeddedOptions,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        BrokerSettings {
            url: EMBEDDED_URL.to_owned(),
            folder: PathBuf::new(),
            limits: Limits::default(),
            tls: TlsFiles::default(),
            management: None,
            pulsar: PulsarSettings::default(),
            embedded: EmbeddedOptions::default(),
        }
    }
}
