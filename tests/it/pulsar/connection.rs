//! A connection to a Pulsar.

use std::sync::Arc;

use weir_pubsub::{Limits, PulsarBroker, PulsarSettings, TlsFiles};
use weir_tests::pulsar::{Broker, Role};
use weir_tests::wait::within;

/// Connects to a broker as its administrator.
pub(crate) async fn connected(broker: &Broker) -> Arc<PulsarBroker> {
    connected_by(broker, &broker.url(), broker.admin().url()).await
}

/// The same through other addresses.
pub(crate) async fn connected_by(broker: &Broker, url: &str, admin_url: &str) -> Arc<PulsarBroker> {
    let settings =
        PulsarSettings { admin: Some(admin_url.to_owned()), token_file: broker.token_file(Role::Admin), ..PulsarSettings::default() };
    within("a connection", PulsarBroker::connect(url, Limits::default(), &TlsFiles::default(), &settings)).await.unwrap()
}
