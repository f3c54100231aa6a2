//! Default limits of components, and the retry policy for failed messages, unless a deployment overrides them.

use std::time::Duration;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "component.memory",
        Kind::Size(MIB, 256 * MIB),
        ("Memory of one instance", "enough to process a message of 4 MiB as JSON"),
        |s| Value::Size(s.limits.memory_bytes),
        |s, value| s.limits.memory_bytes = value.number(),
    ),
    Definition::new(
        "component.time",
        Kind::Time(Duration::from_millis(1), HOUR),
        (
            "The time limit of one attempt at a message, including waiting for replies",
            "a model's answer takes tens of seconds; an attempt \
             that takes longer hangs",
        ),
        |s| Value::Time(Duration::from_millis(s.limits.time_ms)),
        |s, value| s.limits.time_ms = value.number(),
    ),
    Definition::new(
        "component.max-memory",
        Kind::Size(MIB, 256 * MIB),
        ("The most memory that a deployment grants a component that requests it", "the maximum of an instance"),
        |s| Value::Size(s.grantable.memory_bytes),
        |s, value| s.grantable.memory_bytes = value.number(),
    ),
    Definition::new(
        "component.max-time",
        Kind::Time(Duration::from_millis(1), HOUR),
        ("The most time that a deployment grants a component that requests it", "a message that hangs blocks those behind it"),
        |s| Value::Time(Duration::from_millis(s.grantable.time_ms)),
        |s, value| s.grantable.time_ms = value.number(),
    ),
    Definition::new(
        "component.sends",
        Kind::Count(1, 1_000_000),
        ("Messages sent while handling one message", "a document has a few hundred chunks"),
        |s| Value::Count(s.limits.sends_count.into()),
        |s, value| s.limits.sends_count = u32::try_from(value.number()).unwrap_or(u32::MAX),
    ),
    Definition::new(
        "component.send-size",
        // The limit of one settle of the broker.
        Kind::Size(KIB, 256 * MIB),
        ("Their bodies and properties together", "four times the largest message"),
        |s| Value::Size(s.limits.sends_bytes),
        |s, value| s.limits.sends_bytes = value.number(),
    ),
    Definition::new(
        "component.log-per-minute",
        Kind::Size(0, GIB),
        ("Log output of a component per minute", "one line per 10 ms; more hides the output of others"),
        |s| Value::Size(s.limits.log_bytes_per_minute),
        |s, value| s.limits.log_bytes_per_minute = value.number(),
    ),
    Definition::new(
        "retry.attempts",
        Kind::Count(1, 1_000),
        ("Total attempts at a message before it becomes a dead letter", "a message that failed five times within 15 s will fail again"),
        |s| Value::Count(s.retry.attempts_count.into()),
        |s, value| s.retry.attempts_count = u32::try_from(value.number()).unwrap_or(u32::MAX),
    ),
    Definition::new(
        "retry.first-wait",
        Kind::Time(Duration::ZERO, HOUR),
        ("The wait after the first failure; it doubles with each", "a service with a short outage is back by then"),
        |s| Value::Time(Duration::from_millis(s.retry.first_wait_ms)),
        |s, value| s.retry.first_wait_ms = value.number(),
    ),
    Definition::new(
        "retry.longest-wait",
        Kind::Time(Duration::ZERO, HOUR),
        ("The longest wait between two attempts", "a waiting message blocks those behind it"),
        |s| Value::Time(Duration::from_millis(s.retry.longest_wait_ms)),
        |s, value| s.retry.longest_wait_ms = value.number(),
    ),
    Definition::new(
        "retry.waiting",
        Kind::Time(Duration::ZERO, DAY),
        ("The total wait of one message", "a waiting message blocks those behind it"),
        |s| Value::Time(Duration::from_millis(s.retry.waiting_ms)),
        |s, value| s.retry.waiting_ms = value.number(),
    ),
    Definition::new(
        "retry.busy",
        Kind::Time(Duration::ZERO, DAY),
        ("How long a message may be answered with `busy` before it is returned to its queue", "another host may have capacity"),
        |s| Value::Time(Duration::from_millis(s.retry.busy_ms)),
        |s, value| s.retry.busy_ms = value.number(),
    ),
];
