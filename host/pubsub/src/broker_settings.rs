//! Which broker Weir uses, and how: what people set.

use std::path::PathBuf;

use crate::embedded::EmbeddedOptions;
use crate::limits::Limits;
use crate::pulsar::PulsarSettings;
use crate::rabbitmq::TlsFiles;

/// The URL of the broker inside this process.
pub const EMBEDDED_URL: &str = "embedded:";

/// Which broker, and how it is used.
#[derive(Clone)]
pub struct BrokerSettings {
    /// Its scheme says which broker it is: `embedded:` is the one inside this process.
    pub url: String,
    /// Where a broker inside this process keeps its queues.
    pub folder: PathBuf,
    /// What any broker refuses.
    pub limits: Limits,
    /// Files for TLS on the way to a broker elsewhere.
    pub tls: TlsFiles,
    /// The management API of a broker elsewhere, as a URL; without it, its queues cannot be listed, and its policies are unknown.
    pub management: Option<String>,
    /// What Pulsar needs beside its URL; for other brokers it has no meaning.
    pub pulsar: PulsarSettings,
    /// How a broker inside this process works; for other brokers it has no meaning: see [`BrokerSettings::storage`].
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
