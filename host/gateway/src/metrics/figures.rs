//! Figures of hosts, flows and queues as samples. No IO here.
//!
//! A processor's component is not a label of its counters: they continue across a swap, and under a new label they would begin with everything
//! counted before. The running component is a separate family to join with.

use std::collections::BTreeMap;

use weir_config::records::{ProcessorState, ProcessorStatus};
use weir_flow::protocol::{FlowRecord, FlowStatus};

use super::text::Text;
use crate::budget::Budget;
use crate::protocol::{HostReport, QueueSummary};

const STATES: [(ProcessorState, &str); 6] = [
    (ProcessorState::Starting, "starting"),
    (ProcessorState::Running, "running"),
    (ProcessorState::Paused, "paused"),
    (ProcessorState::Failing, "failing"),
    (ProcessorState::Broken, "broken"),
    (ProcessorState::Stopping, "stopping"),
];

/// A figure: its name, its description, and how to read it.
type Figure<T, V = u64> = (&'static str, &'static str, fn(&T) -> V);

const HOST_GAUGES: [Figure<HostReport, f64>; 3] = [
    ("weir_host_start_time_seconds", "When the host started, in seconds since 1970.", |host| seconds(host.status.started_ms)),
    ("weir_host_report_age_seconds", "Age of the host's newest report, the source of its metrics.", |host| seconds(host.age_ms)),
    ("weir_host_config_version", "The version of the configuration that the host has applied.", |host| host.status.config_version as f64),
];

const PROCESSOR_COUNTERS: [Figure<ProcessorStatus>; 7] = [
    ("weir_processor_settled_messages_total", "Messages settled.", |status| status.handled_count),
    ("weir_processor_failed_attempts_total", "Attempts that failed by `retry`, `reject`, a trap or the time limit.", |status| {
        status.failed_count
    }),
    ("weir_processor_trapped_attempts_total", "Traps and time-outs among the failed attempts.", |status| status.trapped_count),
    ("weir_processor_dead_messages_total", "Messages moved to the dead-letter queue.", |status| status.dead_count),
    ("weir_processor_sent_messages_total", "Messages sent.", |status| status.sent_count),
    ("weir_processor_dropped_messages_total", "Messages dropped because the output has no subscriber.", |status| status.dropped_count),
    ("weir_processor_restarts_total", "Tasks of the host that panicked and were restarted.", |status| status.restarts_count),
];

const QUEUE_GAUGES: [Figure<QueueSummary, Option<u64>>; 5] = [
    ("weir_queue_messages", "Messages in the queue, including those in flight.", |queue| queue.depth_count),
    ("weir_queue_ready_messages", "Messages waiting for a subscriber, excluding those in flight.", |queue| queue.ready_count),
    ("weir_queue_unsettled_messages", "Messages in flight.", |queue| queue.unsettled_count),
    ("weir_queue_size_bytes", "Bodies and properties of all messages in the queue.", |queue| queue.size_bytes),
    ("weir_queue_consumers", "Consumers of the queue.", |queue| queue.consumer_count),
];

/// This program.
pub(crate) fn build(topicspace: &str, out: &mut Text) {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("topicspace", topicspace)];
    out.gauge("weir_build_info", "The gateway's version of Weir and its topicspace; always 1.").sample(&labels, 1);
}

/// The log of this process.
pub(crate) fn log(dropped_lines_count: u64, out: &mut Text) {
    let help = "Log lines dropped because standard error could not be written fast enough or at all.";
    out.counter("weir_log_lines_dropped_total", help).sample(&[], dropped_lines_count);
}

/// Whether the sources of the other figures answered.
pub(crate) fn reachable(services: [(&str, bool); 2], out: &mut Text) {
    let mut family = out.gauge("weir_service_reachable", "1 if the service answers; otherwise its metrics are omitted.");
    for (service, is_reachable) in services {
        family.sample(&[("service", service)], u8::from(is_reachable));
    }
}

/// The configuration.
pub(crate) fn config(version: u64, records: &BTreeMap<String, FlowRecord>, out: &mut Text) {
    out.gauge("weir_config_version", "The newest version of the configuration.").sample(&[], version);
    let mut flows = out.gauge("weir_flows", "Flows by status.");
    let statuses = [
        (None, "running"),
        (Some(FlowStatus::Starting), "starting"),
        (Some(FlowStatus::Updating), "updating"),
        (Some(FlowStatus::Stopping), "stopping"),
    ];
    for (status, name) in statuses {
        flows.sample(&[("status", name)], records.values().filter(|record| record.status == status).count());
    }
}

/// The bytes of requests and responses that the gateway holds.
pub(crate) fn held(budget: &Budget, out: &mut Text) {
    let help = "Bytes of requests and answers that the gateway holds, excluding the first 64 KiB of each.";
    out.gauge("weir_gateway_held_bytes", help).sample(&[], budget.held_bytes());
    let help = "The limit of held bytes: the setting gateway.max-held-bytes.";
    out.gauge("weir_gateway_held_limit_bytes", help).sample(&[], budget.limit_bytes());
    let help = "Requests, answers and streams refused because of that limit.";
    out.counter("weir_gateway_overloaded_total", help).sample(&[], budget.refused_count());
}

/// Hosts and their processors, from their last reports.
pub(crate) fn hosts(hosts: &[HostReport], out: &mut Text) {
    for (name, help, value) in HOST_GAUGES {
        let mut family = out.gauge(name, help);
        for host in hosts {
            family.sample(&[("host", host.status.host.as_str())], value(host));
        }
    }
    let mut info = out.gauge("weir_host_info", "The host's version of Weir; always 1.");
    for host in hosts {
        info.sample(&[("host", host.status.host.as_str()), ("version", host.status.version.as_str())], 1);
    }
    processors(hosts, out);
}

fn processors(hosts: &[HostReport], out: &mut Text) {
    let all: Vec<_> = hosts.iter().flat_map(|host| host.processors.iter().map(move |status| (labels(host, status), status))).collect();
    for (name, help, value) in PROCESSOR_COUNTERS {
        let mut family = out.counter(name, help);
        for (labels, status) in &all {
            family.sample(labels, value(status));
        }
    }
    let mut in_hand = out.gauge("weir_processor_messages_in_hand", "Messages received and not settled.");
    for (labels, status) in &all {
        in_hand.sample(labels, status.in_hand_count);
    }
    let mut waiting = out.gauge("weir_processor_waiting_for_slot", "Workers and setups that wait for an instance slot of the host.");
    for (labels, status) in &all {
        waiting.sample(labels, status.waiting_for_slot_count);
    }
    let mut outputs = out.gauge("weir_processor_outputs_bytes", "Memory of messages that it has sent and that are not settled yet.");
    for (labels, status) in &all {
        outputs.sample(labels, status.outputs_bytes);
    }
    let mut stuck = out.gauge("weir_processor_waiting_for_outputs", "Workers that wait for memory for their outputs (host.outputs).");
    for (labels, status) in &all {
        stuck.sample(labels, status.waiting_for_outputs_count);
    }
    let mut state = out.gauge("weir_processor_state", "1 for the current state of the processor, 0 for all others.");
    for ([host, processor, variant, flow], status) in &all {
        for (of, name) in STATES {
            state.sample(&[*host, *processor, *variant, *flow, ("state", name)], u8::from(status.state == of));
        }
    }
    let mut refused = out.gauge("weir_processor_component_refused", "1 if the host does not run the desired component.");
    for (labels, status) in &all {
        refused.sample(labels, u8::from(status.refused.is_some()));
    }
    let mut runs = out.gauge("weir_processor_component_info", "The running component; always 1.");
    for ([host, processor, variant, flow], status) in &all {
        let Some(component) = &status.component else { continue };
        let digest = component.digest.to_string();
        let what = [("component", component.name.as_str()), ("version", component.version.as_str()), ("digest", digest.as_str())];
        runs.sample(&[*host, *processor, *variant, *flow, what[0], what[1], what[2]], 1);
    }
    let mut newest = out.gauge("weir_processor_last_error_time_seconds", "The time of the newest error, in seconds since 1970.");
    for (labels, status) in &all {
        if let Some(ms) = status.last_error_ms {
            newest.sample(labels, seconds(ms));
        }
    }
}

fn labels<'a>(host: &'a HostReport, status: &'a ProcessorStatus) -> [(&'a str, &'a str); 4] {
    [
        ("host", host.status.host.as_str()),
        ("processor", status.processor.as_str()),
        ("variant", status.variant.as_str()),
        ("flow", status.flow.as_deref().unwrap_or_default()),
    ]
}

/// Queues. A missing one has only the sample of its absence.
pub(crate) fn queues(queues: &[QueueSummary], out: &mut Text) {
    let mut exists = out.gauge("weir_queue_exists", "1 if the queue exists, 0 if a flow uses it and it is missing.");
    for queue in queues {
        exists.sample(&names(queue), u8::from(!queue.is_missing));
    }
    let there: Vec<_> = queues.iter().filter(|queue| !queue.is_missing).collect();
    for (name, help, value) in QUEUE_GAUGES {
        let mut family = out.gauge(name, help);
        for queue in &there {
            // An unknown figure has no sample.
            if let Some(value) = value(queue) {
                family.sample(&names(queue), value);
            }
        }
    }
    let mut dropped = out.counter("weir_queue_dropped_messages_total", "Messages dropped because of the queue's limit.");
    for queue in &there {
        if let Some(count) = queue.dropped_count {
            dropped.sample(&names(queue), count);
        }
    }
    let help = "Messages lost on disk: missing at startup, or damaged and set aside.";
    let mut damaged = out.counter("weir_queue_damaged_messages_total", help);
    for queue in &there {
        if let Some(count) = queue.damaged_count {
            damaged.sample(&names(queue), count);
        }
    }
    let bounded: Vec<_> = there.iter().filter_map(|queue| Some((queue, queue.limit_bytes?))).collect();
    let mut limits = out.gauge("weir_queue_limit_bytes", "The limit above which the queue refuses messages: dead letters.");
    for (queue, limit_bytes) in &bounded {
        limits.sample(&names(queue), *limit_bytes);
    }
    let mut full =
        out.gauge("weir_queue_full", "1 if that limit is reached: a message was refused, and none was accepted or removed since.");
    for (queue, _) in &bounded {
        if let Some(is_full) = queue.is_full {
            full.sample(&names(queue), u8::from(is_full));
        }
    }
    let mut refused = out.counter("weir_queue_refused_messages_total", "Messages refused because of that limit.");
    for (queue, _) in &bounded {
        if let Some(count) = queue.refused_count {
            refused.sample(&names(queue), count);
        }
    }
    let mut flows = out.gauge("weir_queue_flow_info", "A flow that uses the queue, and the interface whose exit it is, if any; always 1.");
    for queue in queues {
        for flow in &queue.flows {
            let [topic, subscription] = names(queue);
            flows.sample(&[topic, subscription, ("flow", flow.as_str()), ("exit", queue.exit.as_deref().unwrap_or_default())], 1);
        }
    }
}

fn names(queue: &QueueSummary) -> [(&str, &str); 2] {
    [("topic", queue.topic.as_str()), ("subscription", queue.subscription.as_str())]
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
