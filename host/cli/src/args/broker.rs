//! Flags for the broker.

use clap::Args;

/// Settings of the broker that have flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BrokerFlags {
    /// The broker: embedded:, amqp://USER:PASSWORD@HOST:PORT/VHOST or pulsar://HOST:PORT. A password here is visible in `ps`: use the variable or the
    /// settings file for it [env: WEIR_BROKER_URL] [default: embedded:]
    #[arg(long = "broker", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The management API of RabbitMQ, for example http://HOST:15672: lists queues and shows policies [env: WEIR_BROKER_MANAGEMENT]
    #[arg(long = "broker-management", value_name = "URL")]
    pub(crate) management: Option<String>,
    /// The admin API of Pulsar, for example http://HOST:8080 [env: WEIR_BROKER_PULSAR_ADMIN]
    #[arg(long, value_name = "URL")]
    pub(crate) pulsar_admin: Option<String>,
}

impl BrokerFlags {
    /// Whether one is given.
    pub(crate) fn is_any(&self) -> bool {
        self.given().any(|(_, _, value)| value.is_some())
    }

    /// For each flag: its name, the setting's name, and the value if given.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, &Option<String>)> {
        [
            ("--broker", "broker.url", &self.url),
            ("--broker-management", "broker.management", &self.management),
            ("--pulsar-admin", "broker.pulsar-admin", &self.pulsar_admin),
        ]
        .into_iter()
    }
}
