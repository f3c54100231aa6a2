//! The choice of a broker, by its URL. Nothing else in Weir names one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::Backend;
use crate::broker_url::{EMBEDDED_URL, is_embedded, shown_url};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, OpenError};
use crate::error::PubsubError;
use crate::limits::Limits;
use crate::pulsar::{PulsarBroker, PulsarSettings};
use crate::rabbitmq::{RabbitBroker, TlsFiles};
use crate::supervise::broken_off;
use crate::telling::shown;

const EMBEDDED: &str = "embedded";

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

/// Without the password.
impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BrokerSettings { url, folder, limits, tls, management, pulsar, embedded } = self;
        let (url, management) = (&shown_url(url), &management.as_deref().map(shown_url));
        f.debug_struct("BrokerSettings")
            .field("url", url)
            .field("folder", folder)
            .field("limits", limits)
            .field("tls", tls)
            .field("management", management)
            .field("pulsar", pulsar)
            .field("embedded", embedded)
            .finish()
    }
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

/// How a broker inside this process uses the disk of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The share of the disk that is kept free; with less, publishers are refused.
    pub disk_reserve_percent: u64,
    /// The size of one file of its log.
    pub segment_bytes: u64,
    /// The size of one queue above which publishers are refused.
    pub queue_limit_bytes: u64,
}

impl BrokerSettings {
    /// How the broker uses the disk of this machine; `None` for a broker that is not inside this process.
    pub fn storage(&self) -> Option<Storage> {
        let EmbeddedOptions { disk_reserve_percent, segment_bytes, queue_high_bytes, .. } = self.embedded;
        is_embedded(&self.url).then_some(Storage { disk_reserve_percent, segment_bytes, queue_limit_bytes: queue_high_bytes })
    }
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL names none that is known.
    #[error("unknown broker scheme `{scheme}`: use `embedded:`, `amqp:`, `amqps:`, `pulsar:` or `pulsar+ssl:`")]
    Scheme {
        /// What stands before the colon, for people: the rest of a URL may hold a password.
        scheme: String,
    },
    /// The folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The broker refuses, or cannot be reached.
    #[error(transparent)]
    Broker(#[from] PubsubError),
}

/// Connects to a broker, or opens the one inside this process.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(settings: &BrokerSettings) -> Result<Arc<dyn Backend>, ConnectError> {
    match settings.url.split_once(':') {
        Some((EMBEDDED, _)) => {
            let BrokerSettings { folder, limits, embedded, .. } = settings.clone();
            // It reads the whole log.
            let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open_limited(&folder, limits, embedded)).await;
            Ok(opened.map_err(|error| PubsubError::unavailable(broken_off(error)))??)
        }
        Some(("amqp" | "amqps", _)) => {
            Ok(RabbitBroker::connect(&settings.url, settings.limits, &settings.tls, settings.management.as_deref()).await?)
        }
        Some(("pulsar" | "pulsar+ssl", _)) => {
            Ok(PulsarBroker::connect(&settings.url, settings.limits, &settings.tls, &settings.pulsar).await?)
        }
        Some((scheme, _)) => Err(ConnectError::Scheme { scheme: shown(scheme) }),
        None => Err(ConnectError::Scheme { scheme: shown(&settings.url) }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_url_chooses_the_broker() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |url: &str| BrokerSettings { url: url.to_owned(), folder: folder.path().to_owned(), ..BrokerSettings::default() };
        let limits = Limits { max_message_bytes: 7, ..Limits::default() };
        let backend = connect(&BrokerSettings { limits, ..settings(EMBEDDED_URL) }).await.unwrap();
        assert_eq!(backend.limits(), &limits);
        assert!(matches!(connect(&settings(EMBEDDED_URL)).await, Err(ConnectError::Open(OpenError::InUse { .. }))));
        backend.close().await;
        for url in ["ampq://user:secret@host", "secret"] {
            let error = connect(&settings(url)).await.err().unwrap();
            assert!(matches!(error, ConnectError::Scheme { .. }), "{error}");
            assert!(url == "secret" || !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_a_broker_inside_this_process_uses_its_disk() {
        let storage = |url: &str| BrokerSettings { url: url.to_owned(), ..BrokerSettings::default() }.storage();
        assert_eq!(storage(EMBEDDED_URL).map(|storage| storage.disk_reserve_percent), Some(5));
        assert_eq!(storage("amqp://host/vhost"), None);
    }
}
