//! Connecting to the broker selected by the settings.

use std::sync::Arc;

use crate::backend::Backend;
use crate::broker_kind::{BrokerKind, ConnectError};
use crate::broker_settings::BrokerSettings;
use crate::error_text::shown;

/// Connects to a broker, or opens the one inside this process.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(settings: &BrokerSettings) -> Result<Arc<dyn Backend>, ConnectError> {
    match BrokerKind::of(&settings.url) {
        Some(kind) => (kind.connect)(settings).await,
        None => Err(ConnectError::Scheme { scheme: shown(settings.url.split(':').next().unwrap_or_default()) }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::broker_settings::EMBEDDED_URL;
    use crate::embedded::OpenError;
    use crate::limits::Limits;

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
