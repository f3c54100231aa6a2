//! Settings of the process itself: its address, shutdown, log and host.

use std::time::Duration;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};
use super::super::values::LogFormat;
use crate::permissions::SharedFolder;

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "listen",
        Kind::Address,
        (
            "The address of the gateway; an address that other machines can reach requires a token, and TLS (gateway.tls-cert) or \
                 gateway.behind-proxy",
            "loopback, which other machines cannot reach; a fixed port that commands and scripts can rely on",
        ),
        |s| Value::Text(s.listen.to_string()),
        |s, value| s.listen = value.text().parse().expect("its kind has read it as an address"),
    )
    .flag("--listen"),
    Definition::new(
        "grace",
        Kind::Time(Duration::ZERO, Duration::from_secs(3_600)),
        (
            "Shutdown grace period for messages in flight; those not finished are redelivered after the next start",
            "most messages take less, and service managers wait longer before they kill a process",
        ),
        |s| Value::Time(s.grace),
        |s, value| s.grace = value.time(),
    )
    .flag("--grace"),
    Definition::new(
        "shared-data-folder",
        Kind::Word(&["refuse", "allow"]),
        (
            "Whether to start on a data folder that all users of the machine can write to",
            "they could replace messages, and components, which Weir runs",
        ),
        |s| Value::Text(s.shared_folder.word().to_owned()),
        |s, value| s.shared_folder = if value.text() == "allow" { SharedFolder::Allow } else { SharedFolder::Refuse },
    )
    .flag("--shared-data-folder"),
    Definition::new(
        "topicspace",
        Kind::Topicspace,
        (
            "The name that separates the programs of one Weir from others on the same broker; it is part of topics in blueprints: \
                 flow:TOPICSPACE:NAME",
            "the one that TrustGraph's programs use",
        ),
        |s| Value::Text(s.topicspace.clone()),
        |s, value| s.topicspace = value.text().to_owned(),
    ),
    Definition::new(
        "log.filter",
        Kind::Filter,
        ("The log filter", "state changes of Weir and problems elsewhere; never a line per message"),
        |s| Value::Text(s.log_filter.clone()),
        |s, value| s.log_filter = value.text().to_owned(),
    ),
    Definition::new(
        "log.format",
        Kind::Word(&["text", "json"]),
        ("Text for people, or JSON Lines for programs", "people read it first"),
        |s| Value::Text(s.log_format.word().to_owned()),
        |s, value| s.log_format = if value.text() == "json" { LogFormat::Json } else { LogFormat::Text },
    )
    .flag("--log-format"),
    Definition::new(
        "host.instances",
        Kind::Count(0, 4_000),
        (
            "Instance slots of components; 0: as many as fit into the memory of the machine, or of the cgroup that limits Weir, at 16 MiB \
                 each, at least 8",
            "above 4000 the kernel's limit on memory maps is exceeded",
        ),
        |s| Value::Count(s.instances_count.into()),
        |s, value| s.instances_count = u32::try_from(value.number()).unwrap_or(u32::MAX),
    ),
    Definition::new(
        "host.outputs",
        Kind::Size(1 << 20, 1 << 40),
        (
            "Memory for messages that processors have sent and that are not settled yet, for all processors together; a processor above its \
                 share starts no further message",
            "room for eight messages that each send as much as component.send-size allows",
        ),
        |s| Value::Size(s.outputs_bytes),
        |s, value| s.outputs_bytes = value.number(),
    ),
    Definition::new(
        "host.cache",
        Kind::Size(1 << 20, 1 << 40),
        (
            "Disk space for the components that a host of `weir run host` has fetched and for their compiled code; the least recently used \
                 are removed first, those in use never",
            "a hundred components that include an interpreter",
        ),
        |s| Value::Size(s.cache_bytes),
        |s, value| s.cache_bytes = value.number(),
    ),
];
