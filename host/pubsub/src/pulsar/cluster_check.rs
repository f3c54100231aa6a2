//! Checks that broker and admin API belong to one cluster: topics created by one must be found by the other.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use super::admin::Admin;
use super::broker_error::BrokerErrorKind;
use super::link::Link;
use super::names::TopicName;
use super::subscription::{InitialPosition, Reading, Subscribed};
use super::wire::Failure;
use crate::error::{PubsubError, Result};
use crate::lock::lock;

/// How often, and at what interval, the check is repeated while the two differ: a new namespace reaches all nodes with a delay.
const MAX_CHECKS_COUNT: u32 = 5;
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const SUBSCRIPTION: &str = "weir-probe";

/// The tenants that are known to exist on both.
#[derive(Default)]
pub(super) struct ClusterCheck {
    checked: Mutex<BTreeSet<String>>,
}

/// How the results of both for one topic compare.
enum Comparison {
    /// Both return the same node.
    Same,
    /// They return different nodes, which may also be the addresses of one node in different networks.
    Different { broker: String, admin: String },
    /// Only one of them has the namespace.
    ByOne { knows: &'static str },
    /// Neither has the namespace.
    ByNone,
    /// The role lacks the permission, or the connection is lost.
    Unknown,
}

impl ClusterCheck {
    /// Checks once for each tenant, while the broker is connected.
    ///
    /// # Errors
    /// `Refused` if they belong to different clusters, or if the admin API is something else or refuses; `Unavailable` while it does not respond.
    pub(super) async fn check(&self, link: &Link, admin: &Admin, tenant: &str) -> Result<()> {
        if lock(&self.checked).contains(tenant) || link.up().is_err() {
            return Ok(());
        }
        let of_tenant = TopicName::of_probe(tenant)?;
        let is_known = match settled(link, admin, &of_tenant).await? {
            Comparison::ByNone => return check_system(link, admin).await,
            Comparison::Different { broker, admin: other } => match is_found(link, admin, &of_tenant).await? {
                true => true,
                false => {
                    return Err(differ(
                        admin,
                        &format!(
                            "topics of {tenant} are at {broker} according to one, and at {other} according to the \
                         other"
                        ),
                    ));
                }
            },
            Comparison::ByOne { knows } => {
                return Err(differ(admin, &format!("the namespace {tenant}/{} exists only for {knows}", of_tenant.namespace)));
            }
            Comparison::Same => true,
            Comparison::Unknown => false,
        };
        if is_known {
            lock(&self.checked).insert(tenant.to_owned());
        }
        Ok(())
    }
}

/// Before a tenant exists, checks the namespace of the brokers themselves, if the role may access it.
async fn check_system(link: &Link, admin: &Admin) -> Result<()> {
    let topic_name = TopicName::of_brokers();
    let seen = match settled(link, admin, &topic_name).await {
        Err(PubsubError::Refused { .. }) => return Ok(()),
        seen => seen?,
    };
    match seen {
        Comparison::Different { broker, admin: other } if !is_found(link, admin, &topic_name).await.unwrap_or(true) => {
            Err(differ(admin, &format!("topics are at {broker} according to one, and at {other} according to the other")))
        }
        _ => Ok(()),
    }
}

fn differ(admin: &Admin, how: &str) -> PubsubError {
    PubsubError::refused(format!(
        "broker.pulsar-admin, {}: this is the admin API of a different cluster than broker.url: {how}",
        admin.address()
    ))
}

/// The comparison of both, repeated for a while if they differ.
async fn settled(link: &Link, admin: &Admin, topic_name: &TopicName) -> Result<Comparison> {
    let mut looks_count = MAX_CHECKS_COUNT;
    loop {
        let seen = seen(link, admin, topic_name).await?;
        looks_count -= 1;
        if looks_count == 0 || !matches!(seen, Comparison::Different { .. } | Comparison::ByOne { .. }) {
            return Ok(seen);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn seen(link: &Link, admin: &Admin, topic_name: &TopicName) -> Result<Comparison> {
    let by_broker = match link.owner(&topic_name.url()).await {
        Ok(owner) => Some(owner),
        Err(Failure::Refused(refusal)) if refusal.kind == BrokerErrorKind::NotFound => None,
        Err(_) => return Ok(Comparison::Unknown),
    };
    Ok(match (by_broker, admin.owner(topic_name).await?) {
        (Some(broker), Some(admin)) if broker == admin => Comparison::Same,
        (Some(broker), Some(admin)) => Comparison::Different { broker, admin },
        (Some(_), None) => Comparison::ByOne { knows: "broker.url" },
        (None, Some(_)) => Comparison::ByOne { knows: "broker.pulsar-admin" },
        (None, None) => Comparison::ByNone,
    })
}

/// Whether a topic created by the admin API is found by the broker. The topic is deleted afterwards.
async fn is_found(link: &Link, admin: &Admin, topic_name: &TopicName) -> Result<bool> {
    let topic_name = TopicName { name: format!("{}-{:016x}", topic_name.name, rand::random::<u64>()), ..topic_name.clone() };
    admin.make_topic(&topic_name).await?;
    let topic = topic_name.url();
    let reading = Reading {
        topic: &topic,
        subscription: SUBSCRIPTION,
        is_shared: false,
        is_durable: false,
        makes_topic: false,
        start: InitialPosition::Newest,
    };
    let found = match Subscribed::open(link, reading).await {
        Ok(subscribed) => {
            subscribed.close().await;
            true
        }
        // Other errors prove nothing.
        Err(Failure::Refused(refusal)) => refusal.kind != BrokerErrorKind::NotFound,
        Err(Failure::Lost(_)) => true,
    };
    let _ = admin.delete_topic(&topic_name).await;
    Ok(found)
}
