//! What the operator of a RabbitMQ sets up for Weir, which Weir cannot do over AMQP: commands to run by hand.

use weir_pubsub::vhost;

use crate::settings::Settings;

/// The line of `rabbitmq.conf` that permits queues that are neither durable nor exclusive.
pub(crate) const PERMIT_LINE: &str = "deprecated_features.permit.transient_nonexcl_queues = true";
/// Above the longest time for which a host holds a message.
const CONSUMER_TIMEOUT_MS: u32 = 3_600_000;

/// The commands that set policies, each with its reason. One policy counts for a queue at a time, so there is one for each type of queue.
pub(crate) fn policies(settings: &Settings) -> [(String, &'static str); 2] {
    let set = |name: &str, definition: String, queues: &str| {
        let (vhost, pattern) = (quoted(&vhost(&settings.broker.url)), quoted(&pattern(&settings.topicspace)));
        format!("rabbitmqctl set_policy -p {vhost} {name} {pattern} '{{{definition}}}' --apply-to {queues}")
    };
    let timeout = format!(r#""consumer-timeout":{CONSUMER_TIMEOUT_MS}"#);
    [
        (
            set("weir-quorum", format!(r#""delivery-limit":-1,{timeout}"#), "quorum_queues"),
            "without delivery-limit, quorum queues of RabbitMQ 4 delete a message after 20 deliveries",
        ),
        (
            set("weir-classic", timeout.clone(), "classic_queues"),
            "without consumer-timeout, a message that is held for more than 30 minutes closes its consumer",
        ),
    ]
}

/// The command that lists policies.
pub(crate) fn list_policies(settings: &Settings) -> String {
    format!("rabbitmqctl list_policies -p {}", quoted(&vhost(&settings.broker.url)))
}

/// Names of the queues of flows, as a regular expression.
fn pattern(topicspace: &str) -> String {
    let escaped: String =
        topicspace.chars().flat_map(|letter| (!letter.is_alphanumeric()).then_some('\\').into_iter().chain([letter])).collect();
    format!(r"^{escaped}\.flow\.")
}

/// As a word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_virtual_host_and_the_queues_of_flows() {
        let mut settings = Settings { topicspace: "t-1".to_owned(), ..Settings::default() };
        settings.broker.url = "amqp://u:p@h/it's".to_owned();
        let [(quorum, _), (classic, _)] = policies(&settings);
        let begin = r"rabbitmqctl set_policy -p 'it'\''s' weir-quorum '^t\-1\.flow\.' ";
        assert_eq!(quorum, format!(r#"{begin}'{{"delivery-limit":-1,"consumer-timeout":3600000}}' --apply-to quorum_queues"#));
        assert!(classic.ends_with("--apply-to classic_queues"), "{classic}");
        settings.broker.url = "amqp://h".to_owned();
        assert_eq!(list_policies(&settings), "rabbitmqctl list_policies -p '/'");
    }
}
