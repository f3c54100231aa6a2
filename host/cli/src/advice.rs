//! What the operator of a RabbitMQ sets in its configuration for Weir.

/// The line of `rabbitmq.conf` that permits queues that are neither durable nor exclusive.
pub(crate) const PERMIT_LINE: &str = "deprecated_features.permit.transient_nonexcl_queues = true";
