//! The brokers that Weir supports, one table entry each: its URL, and its texts in settings, help and errors. Other code uses these properties and
//! names no broker.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backend::Backend;
use crate::broker_settings::{BrokerSettings, EMBEDDED_URL};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, OpenError};
use crate::error::PubsubError;
use crate::pulsar::{self, PulsarBroker};
use crate::rabbitmq::{self, RabbitBroker};
use crate::supervise::task_failure;

/// Why the broker is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The scheme of the URL is unknown.
    #[error("unknown broker scheme `{scheme}`: use `embedded:`, `amqp:`, `amqps:`, `pulsar:` or `pulsar+ssl:`")]
    Scheme {
        /// The part before the colon, for display: the rest of a URL may contain a password.
        scheme: String,
    },
    /// The folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The broker refuses the connection or is unreachable.
    #[error(transparent)]
    Broker(#[from] PubsubError),
}

type Connected = Result<Arc<dyn Backend>, ConnectError>;

/// A broker that Weir supports.
pub struct BrokerKind {
    /// Its name, for display.
    pub name: &'static str,
    /// The schemes of its URLs.
    pub schemes: &'static [&'static str],
    /// Which of these schemes uses TLS.
    pub tls_scheme: Option<&'static str>,
    /// The form of its URL, for display.
    pub url_form: &'static str,
    /// Whether several processes, on this or other machines, can use it.
    pub is_shared: bool,
    /// The default of the largest answer of the config service, if the broker's maximum message size bounds it.
    pub max_answer_bytes: Option<usize>,
    /// The broker's term for a topicspace, for display.
    pub space: &'static str,
    /// The settings that apply to this broker only.
    pub settings: &'static [&'static str],
    /// A required setting and its meaning, for display.
    pub required: Option<(&'static str, &'static str)>,
    /// The variables and keys that select this broker, for display.
    pub variables: &'static str,
    /// The setting required for listing its queues, and the command that lists them on a machine of the broker.
    pub listing: Option<(&'static str, &'static str)>,
    /// The fix if its policies cannot be read or set, for display.
    pub policies_fix: &'static str,
    /// The instructions for missing policies, before the commands for an operator.
    pub policies_missing: &'static str,
    /// Why its policies may be unreadable, and the instructions, before the command that lists them.
    pub policies_unseen: (&'static str, &'static str),
    /// The prefix of the commands that an operator runs by hand.
    pub by_hand: &'static str,
    /// Information about `request` queues, if there are several kinds.
    pub request_queues: Option<RequestQueues>,
    pub(crate) check_url: fn(&str) -> Result<(), String>,
    pub(crate) connect: fn(&BrokerSettings) -> BoxFuture<'_, Connected>,
}

/// Information about `request` queues, for display.
pub struct RequestQueues {
    /// About queues with the properties that TrustGraph's services declare.
    pub as_declared: &'static str,
    /// The fix for other queues, which the backend reports in a notice.
    pub otherwise: &'static str,
}

/// All supported brokers.
pub static BROKER_KINDS: [&BrokerKind; 3] = [&EMBEDDED, &RABBITMQ, &PULSAR];

static EMBEDDED: BrokerKind = BrokerKind {
    name: "the embedded broker",
    schemes: &["embedded"],
    tls_scheme: None,
    url_form: EMBEDDED_URL,
    is_shared: false,
    max_answer_bytes: None,
    space: "topicspace",
    settings: &[],
    required: None,
    variables: "WEIR_BROKER_URL, or `url`",
    listing: None,
    policies_fix: "check the log",
    policies_missing: "run by hand",
    policies_unseen: ("unknown", "run"),
    by_hand: "Run by hand:",
    request_queues: None,
    check_url: |url| match url {
        EMBEDDED_URL => Ok(()),
        _ => Err(format!("use only `{EMBEDDED_URL}`: the data folder is set with --data")),
    },
    connect: |settings| open_embedded(settings.clone()).boxed(),
};

static RABBITMQ: BrokerKind = BrokerKind {
    name: "RabbitMQ",
    schemes: &["amqp", "amqps"],
    tls_scheme: Some("amqps"),
    url_form: "amqp://USER:PASSWORD@HOST:PORT/VHOST",
    is_shared: true,
    // The default maximum message size of RabbitMQ 4 (`max_message_size`), above which it closes the channel.
    max_answer_bytes: Some(16 << 20),
    space: "exchange",
    settings: &["broker.management"],
    required: None,
    variables: "WEIR_BROKER_URL, or `url`",
    listing: Some(("broker.management", "rabbitmqctl list_queues -p VHOST name messages consumers")),
    policies_fix: "correct broker.management; or remove it to have the commands printed instead, to run on a machine of the broker",
    policies_missing: "weir init --broker-management URL sets them; by hand",
    policies_unseen: ("unknown: the broker shows them only through its management API", "set broker.management, or run"),
    by_hand: "Run on a machine of the broker; with --broker-management URL, weir init does it (RabbitMQ 4):",
    request_queues: Some(RequestQueues {
        as_declared: "not durable; before an upgrade to RabbitMQ 4.3, delete them or set \
             `deprecated_features.permit.transient_nonexcl_queues = true`, otherwise it does not boot",
        otherwise: "if services of TrustGraph itself use this broker, set `deprecated_features.permit.transient_nonexcl_queues = true` on all \
                    nodes",
    }),
    check_url: rabbitmq::check_url,
    connect: |settings| {
        async { Ok(RabbitBroker::connect(&settings.url, settings.limits, &settings.tls, settings.management.as_deref()).await? as _) }
            .boxed()
    },
};

static PULSAR: BrokerKind = BrokerKind {
    name: "Pulsar",
    schemes: &["pulsar", "pulsar+ssl"],
    tls_scheme: Some("pulsar+ssl"),
    url_form: "pulsar://HOST:PORT",
    is_shared: true,
    // The maximum message size (`maxMessageSize`), minus room for everything but the body.
    max_answer_bytes: Some((5 << 20) - (64 << 10)),
    space: "tenant",
    settings: &["broker.pulsar-admin", "broker.token-file"],
    required: Some(("broker.pulsar-admin", "the address of its admin API, which creates and deletes queues: set it to http://HOST:8080")),
    variables: "WEIR_BROKER_URL and WEIR_BROKER_PULSAR_ADMIN, or `url` and `pulsar-admin`",
    listing: None,
    policies_fix: "correct broker.pulsar-admin and broker.token-file",
    policies_missing: "weir init sets missing policies; restrictions set by an administrator are not changed by it. By hand",
    policies_unseen: ("unknown: the role of the token may not read them", "make it an administrator of the tenant, or run"),
    by_hand: "Remaining steps for an administrator of the broker, where ROLE is the role of Weir's token:",
    // On a `request` topic there is only one kind of queue: the topic itself.
    request_queues: None,
    check_url: pulsar::check_url,
    connect: |settings| {
        async { Ok(PulsarBroker::connect(&settings.url, settings.limits, &settings.tls, &settings.pulsar).await? as _) }.boxed()
    },
};

impl BrokerKind {
    /// The broker selected by the scheme of a URL; `None` if the scheme is unknown.
    pub fn of(url: &str) -> Option<&'static BrokerKind> {
        let (scheme, _) = url.split_once(':')?;
        BROKER_KINDS.into_iter().find(|kind| kind.schemes.contains(&scheme))
    }
}

/// Prints only the name.
impl std::fmt::Debug for BrokerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BrokerKind").field(&self.name).finish()
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
    /// The broker selected by the URL; the embedded one if the scheme is unknown, which [`connect`](crate::connect) refuses.
    pub fn kind(&self) -> &'static BrokerKind {
        BrokerKind::of(&self.url).unwrap_or(&EMBEDDED)
    }

    /// Whether TLS files are used, for the broker or for its API.
    pub fn uses_tls(&self) -> bool {
        let scheme = self.url.split_once(':').map(|(scheme, _)| scheme);
        let is_encrypted_api = self.pulsar.admin.as_ref().is_some_and(|api| api.starts_with("https:"));
        (scheme.is_some() && scheme == self.kind().tls_scheme) || is_encrypted_api
    }

    /// How the broker uses the disk of this machine; `None` for an external broker.
    pub fn storage(&self) -> Option<Storage> {
        let EmbeddedOptions { disk_reserve_percent, segment_bytes, queue_high_bytes, .. } = self.embedded;
        (!self.kind().is_shared).then_some(Storage { disk_reserve_percent, segment_bytes, queue_limit_bytes: queue_high_bytes })
    }
}

/// Opens the broker inside this process, which reads its entire log.
async fn open_embedded(settings: BrokerSettings) -> Connected {
    let BrokerSettings { folder, limits, embedded, .. } = settings;
    let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open_limited(&folder, limits, embedded)).await;
    Ok(opened.map_err(|error| PubsubError::unavailable(task_failure(error)))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_broker_by_the_scheme() {
        let name = |url: &str| BrokerKind::of(url).map(|kind| kind.name);
        assert_eq!(name(EMBEDDED_URL), Some("the embedded broker"));
        assert_eq!((name("amqps://host"), name("pulsar+ssl://host")), (Some("RabbitMQ"), Some("Pulsar")));
        assert_eq!((name("ampq://host"), name("amqp"), name("")), (None, None, None));
        for kind in BROKER_KINDS {
            assert!(kind.schemes.iter().all(|scheme| BrokerKind::of(&format!("{scheme}:")).is_some_and(|of| of.name == kind.name)));
            assert!(kind.tls_scheme.is_none_or(|scheme| kind.schemes.contains(&scheme)));
        }
    }

    #[test]
    fn tls_is_used_for_the_broker_or_its_api() {
        let uses = |url: &str, api: Option<&str>| {
            let mut settings = BrokerSettings { url: url.to_owned(), ..BrokerSettings::default() };
            settings.pulsar.admin = api.map(str::to_owned);
            settings.uses_tls()
        };
        assert!(uses("amqps://host", None) && uses("pulsar+ssl://host", None) && uses("pulsar://host", Some("https://host")));
        assert!(!uses("amqp://host", None) && !uses("pulsar://host", Some("http://host")) && !uses(EMBEDDED_URL, None) && !uses("", None));
    }
}
