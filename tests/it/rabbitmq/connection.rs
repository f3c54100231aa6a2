//! A connection to a RabbitMQ.

use std::sync::Arc;

use weir_pubsub::{Limits, RabbitBroker, TlsFiles};
use weir_tests::wait::within;

/// Connects to a broker by a URL.
pub(crate) async fn connected(url: String) -> Arc<RabbitBroker> {
    within("a connection", RabbitBroker::connect(&url, Limits::default(), &TlsFiles::default(), None)).await.unwrap()
}
