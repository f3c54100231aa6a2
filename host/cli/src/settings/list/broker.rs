//! Settings of the queues and of flows.

use std::path::PathBuf;
use std::time::Duration;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// A file, or an empty string if not set.
fn path(file: Option<&PathBuf>) -> Value {
    Value::Text(file.map(|file| file.display().to_string()).unwrap_or_default())
}

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "broker.url",
        Kind::BrokerUrl,
        (
            "The broker: the one embedded in this process, which stores its queues in the data folder, RabbitMQ or Apache Pulsar. A \
                 password is never shown; write its characters other than letters, digits and -._~ as %XX",
            "requires no further installation",
        ),
        |s| Value::Url(s.broker.url.clone()),
        |s, value| s.broker.url = value.text().to_owned(),
    )
    .flag("--broker"),
    Definition::new(
        "broker.management",
        Kind::ManagementUrl,
        (
            "The management API of RabbitMQ at broker.url: lists queues, and shows and sets policies. Without USER:PASSWORD@, the \
                 credentials of broker.url are used",
            "without it, queues are not listed and policies are unknown",
        ),
        |s| Value::Url(s.broker.management.clone().unwrap_or_default()),
        |s, value| s.broker.management = Some(value.text().to_owned()),
    )
    .flag("--broker-management"),
    Definition::new(
        "broker.pulsar-admin",
        Kind::PulsarAdminUrl,
        (
            "The admin API of Pulsar at broker.url, through which queues are created, listed and deleted, for example http://HOST:8080",
            "none: required for Pulsar, not used by other brokers",
        ),
        |s| Value::Text(s.broker.pulsar.admin.clone().unwrap_or_default()),
        |s, value| s.broker.pulsar.admin = Some(value.text().to_owned()),
    )
    .flag("--pulsar-admin"),
    Definition::new(
        "broker.token-file",
        Kind::Path,
        (
            "A file with the token for Pulsar and its admin API. It is reread for each connection, so a new token needs no restart",
            "without it, no token is sent",
        ),
        |s| path(s.broker.pulsar.token_file.as_ref()),
        |s, value| s.broker.pulsar.token_file = Some(value.text().into()),
    ),
    Definition::new(
        "broker.ca-file",
        Kind::Path,
        (
            "A file of certificate authorities (PEM) for checking the certificate of an amqps:// or pulsar+ssl:// broker",
            "without it, the certificate authorities of the system",
        ),
        |s| path(s.broker.tls.ca_file.as_ref()),
        |s, value| s.broker.tls.ca_file = Some(value.text().into()),
    ),
    Definition::new(
        "broker.certificate-file",
        Kind::Path,
        (
            "The client certificate (PEM) for an amqps:// or pulsar+ssl:// broker; requires broker.key-file",
            "most brokers identify clients by their password",
        ),
        |s| path(s.broker.tls.certificate_files.as_ref().map(|(certificate, _)| certificate)),
        |s, value| s.broker.tls.certificate_files.get_or_insert_default().0 = value.text().into(),
    ),
    Definition::new(
        "broker.key-file",
        Kind::Path,
        ("The private key (PEM, PKCS #8) of broker.certificate-file", "none, since there is no certificate"),
        |s| path(s.broker.tls.certificate_files.as_ref().map(|(_, key)| key)),
        |s, value| s.broker.tls.certificate_files.get_or_insert_default().1 = value.text().into(),
    ),
    Definition::new(
        "broker.queue-limit",
        Kind::Size(MIB, TIB),
        (
            "The size of one queue above which messages from clients are refused; messages from processors are still accepted",
            "a queue without a subscriber must not use up the disk space of the others",
        ),
        |s| Value::Size(s.broker.embedded.queue_high_bytes),
        |s, value| s.broker.embedded.queue_high_bytes = value.number(),
    ),
    Definition::new(
        "broker.disk-reserve-percent",
        Kind::Count(0, 99),
        (
            "The share of the disk that is kept free: below it, messages from clients are refused",
            "settling queued messages needs some disk space, and so do other programs on the machine",
        ),
        |s| Value::Count(s.broker.embedded.disk_reserve_percent),
        |s, value| s.broker.embedded.disk_reserve_percent = value.number(),
    ),
    Definition::new(
        "broker.max-message",
        // With less, Weir's own messages about a large blueprint would not fit.
        Kind::Size(4 * MIB, 64 * MIB),
        ("The largest body of a message", "what a component with 64 MiB of memory can hold while it processes JSON"),
        |s| Value::Size(s.broker.limits.max_message_bytes as u64),
        |s, value| s.broker.limits.max_message_bytes = usize::try_from(value.number()).unwrap_or(usize::MAX),
    ),
    Definition::new(
        "broker.max-answer",
        Kind::Size(MIB, 256 * MIB),
        (
            "The largest answer to a request. The whole configuration is sent as one answer, so it cannot exceed this size, nor 64 MiB. \
                 Default on RabbitMQ: 16MiB, its largest message (max_message_size); on Pulsar: 5MiB (maxMessageSize)",
            "several copies of an answer are in memory while it is sent and read",
        ),
        |s| Value::Size(s.broker.limits.max_answer_bytes as u64),
        |s, value| s.broker.limits.max_answer_bytes = usize::try_from(value.number()).unwrap_or(usize::MAX),
    ),
    Definition::new(
        "broker.cache",
        Kind::Size(MIB, TIB),
        ("Memory for messages of all queues together; the rest is read from disk", "subscribers that keep up are served from it"),
        |s| Value::Size(s.broker.embedded.cached_bytes),
        |s, value| s.broker.embedded.cached_bytes = value.number(),
    ),
    Definition::new(
        "broker.segment",
        Kind::Size(MIB, 1 << 30),
        ("The size of one file of the log", "disk space is released in units of this size"),
        |s| Value::Size(s.broker.embedded.segment_bytes),
        |s, value| s.broker.embedded.segment_bytes = value.number(),
    ),
    Definition::new(
        "broker.request-queue-limit",
        Kind::Size(MIB, TIB),
        ("Memory for the messages of one queue of requests", "requests that wait longer than their callers are useless"),
        |s| Value::Size(s.broker.embedded.request_queue_bytes),
        |s, value| s.broker.embedded.request_queue_bytes = value.number(),
    ),
    Definition::new(
        "broker.request-queue-count",
        Kind::Count(1, 100_000_000),
        ("The maximum number of requests waiting in one queue", "as for their size"),
        |s| Value::Count(s.broker.embedded.request_queue_count),
        |s, value| s.broker.embedded.request_queue_count = value.number(),
    ),
    Definition::new(
        "flow.exit-limit",
        Kind::Size(64 << 10, TIB),
        (
            "The size of a flow's exit above which its oldest messages are dropped and counted; applies to flows started after the change",
            "a few minutes of a busy flow, so that a forgotten exit does not fill the disk",
        ),
        |s| Value::Size(s.flow.exit_limit_bytes),
        |s, value| s.flow.exit_limit_bytes = value.number(),
    ),
    Definition::new(
        "flow.stop-wait",
        Kind::Time(Duration::from_secs(1), Duration::from_secs(3_600)),
        (
            "How long stopping a flow waits for its processors to unsubscribe from their queues",
            "well above the time in which a host receives a change",
        ),
        |s| Value::Time(s.flow.stop_wait),
        |s, value| s.flow.stop_wait = value.time(),
    ),
    Definition::new(
        "dead-letters.max-bytes",
        Kind::Size(64 << 10, TIB),
        (
            "The size of the dead-letter queue above which it accepts no further messages: messages that cannot be handled then stay in the \
                 queues of their processors, and none is dropped",
            "room for many rejected messages, and far below the limit of one queue",
        ),
        |s| Value::Size(s.flow.dead_letters_max_bytes),
        |s, value| s.flow.dead_letters_max_bytes = value.number(),
    ),
];
