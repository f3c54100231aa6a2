//! What a broker does not promise: its exceptions, by promise, each with the reason.
//!
//! This is the only place that names them. A promise that is excepted on a broker is not tested there; `tests/it/conformance.rs` prints and
//! checks the table, and compares docs/concepts.md with it.

/// The exceptions of one broker.
pub struct Exceptions {
    /// Its name, as in the column of docs/concepts.md.
    pub broker: &'static str,
    /// Promises, each with the reason.
    pub promises: &'static [(&'static str, &'static str)],
}

/// Turns the table into [`EXCEPTIONS`], and for each broker into a macro that omits the test of an excepted promise.
///
/// `$d` is a dollar sign, for the macros that this one defines.
macro_rules! exceptions {
    ($d:tt $($broker:ident, $tested_unless:ident: { $($promise:ident: $reason:expr,)* })*) => {
        /// The exceptions of all brokers.
        pub const EXCEPTIONS: &[Exceptions] = &[
            $(Exceptions { broker: stringify!($broker), promises: &[$((stringify!($promise), $reason)),*] },)*
        ];

        $(
            /// The test of a promise, unless it is an exception of this broker.
            #[macro_export]
            macro_rules! $tested_unless {
                $(($promise, $d($d test:tt)*) => {};)*
                ($d promise:ident, $d($d test:tt)*) => { $d($d test)* };
            }
        )*
    };
}

const IN_PROCESS: &str = "it runs in the process: it has no connection that can be lost";
const NO_BINDINGS: &str = "a queue is found by its topic: there is no binding that could be missing";
const NO_ALARM: &str = "it takes messages until a queue or the disk is full, and then refuses them at once";
const NO_USERS: &str = "it runs in the process: it has no users, whose rights could be missing";
const NOT_ATOMIC: &str = "outputs are published one after the other, then the input is acknowledged";
const ONE_BY_ONE: &str = "queues are deleted one after the other";
const NO_HIGH_MARK: &str = "queues have no high mark: they grow until the broker itself stops its publishers";
const NOT_COUNTED: &str = "deliveries are not counted; it is only known whether one is the first";
const FEW_FIGURES: &str = "only the number of messages and of consumers is known";

const NO_WINDOW_OF_BYTES: &str = "a window counts messages, not their bytes";
const APPROXIMATE_BOUND: &str = "the bound counts bodies only, and the message that reaches it is stored or refused as the broker sees fit";
const RIGHTS_ARE_KEPT: &str =
    "the broker checks a right once for each channel and resource: one that is taken away counts from the next channel on";

const NOT_ALONE: &str = "a quorum queue gives messages to others beside an exclusive consumer: queues that need one are classic";
const BEHIND_THE_OTHERS: &str =
    "a quorum queue puts requeued messages behind the others, even after browsing: queues that Weir browses are classic";

const REQUESTS_ARE_NOT_KEPT: &str = "a request goes to the consumers that are there when it is published, and is lost where there is none";
const CHECKED_NOW_AND_THEN: &str =
    "the bound counts what messages take on disk, all queues of the topic together, and is checked once a minute";
const EACH_QUEUE_REFUSES: &str =
    "each queue of a topic refuses for itself: the others have the message, and its publisher learns that one refused it";
const LOOKED_AT_APART: &str =
    "the fence against publishers during a deletion ends a moment before the queue does: another process may publish then";
const ALWAYS_READ: &str = "the broker cannot be made to fail at reading a message";
const NO_BLOCKING: &str = "it has no alarm that blocks publishers: a broker that stores nothing refuses them";

exceptions! { $
    embedded, tested_on_embedded: {
        unanswered_operations_end_within_a_bounded_time: IN_PROCESS,
        a_closed_backend_releases_everything_it_held: IN_PROCESS,
        a_lost_connection_ends_consumers_with_unavailable: IN_PROCESS,
        an_ended_consumer_stays_ended: IN_PROCESS,
        a_lost_connection_ends_taps_with_unavailable: IN_PROCESS,
        a_settle_interrupted_by_a_lost_connection_loses_nothing: IN_PROCESS,
        messages_of_a_lost_consumer_are_redelivered: IN_PROCESS,
        settling_a_delivery_of_a_lost_consumer_is_no_longer_held: IN_PROCESS,
        the_error_of_a_loss_keeps_its_source: IN_PROCESS,
        producers_survive_a_loss: IN_PROCESS,
        consumers_survive_the_loss_of_the_publishing_connection: IN_PROCESS,
        publishing_survives_the_loss_of_the_consuming_connection: IN_PROCESS,
        a_lost_connection_releases_exclusive_queues: IN_PROCESS,
        a_redrive_interrupted_by_a_lost_connection_loses_nothing: IN_PROCESS,
        a_message_is_republished_until_it_is_confirmed: IN_PROCESS,
        republishing_ends_at_its_time_out_or_a_refusal: IN_PROCESS,
        unconfirmed_messages_of_a_lost_connection_are_stored_or_in_doubt: IN_PROCESS,
        operations_are_unavailable_until_the_connection_is_restored: IN_PROCESS,
        an_unreachable_broker_is_reported_until_it_returns: IN_PROCESS,
        pending_requests_fail_on_a_lost_connection_and_later_ones_are_answered: IN_PROCESS,
        request_queues_are_lost_on_a_broker_restart_and_ensured_by_their_owner: IN_PROCESS,
        resubscribing_waits_for_the_broker: IN_PROCESS,
        a_lost_connection_loses_the_lock: IN_PROCESS,
        a_lost_lock_stays_lost: IN_PROCESS,
        without_a_connection_a_lock_is_unavailable: IN_PROCESS,
        a_lock_can_be_taken_after_a_restart_of_the_broker: IN_PROCESS,
        ensuring_a_queue_binds_it_to_its_topic_again: NO_BINDINGS,
        consuming_and_acknowledging_continue_while_publishers_are_blocked: NO_ALARM,
        a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time: NO_ALARM,
        a_waiting_publish_is_stored_once_publishers_are_unblocked: NO_ALARM,
        a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery: NO_ALARM,
        blocked_publishers_are_reported: NO_ALARM,
        creating_a_queue_without_permission_is_refused: NO_USERS,
        deleting_a_queue_without_permission_is_refused: NO_USERS,
        subscribing_without_permission_is_refused: NO_USERS,
        publishing_without_permission_is_refused: NO_USERS,
        a_settle_without_permission_is_refused_and_the_delivery_stays_held: NO_USERS,
        a_request_whose_answer_cannot_be_subscribed_to_is_refused: NO_USERS,
        resubscribing_survives_a_refusal: NO_USERS,
        taking_a_lock_without_permission_is_refused: NO_USERS,
    }
    rabbitmq, tested_on_rabbitmq: {
        a_message_published_during_a_deletion_is_counted_or_refused:
            "a queue is unbound while it is looked at: what is published meanwhile may be refused although the queue stays",
        a_failed_settle_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        later_settles_are_refused_until_a_failed_one_is_repeated_or_requeued: "a failed settle does not block later ones",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_full_queue_of_a_request_topic_misses_messages_of_the_others: NO_HIGH_MARK,
        a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        requests_missed_by_a_full_queue_are_counted: NO_HIGH_MARK,
        a_message_refused_by_one_queue_of_a_topic_reaches_no_other: EACH_QUEUE_REFUSES,
        deliveries_are_counted_exactly: NOT_COUNTED,
        delivery_counts_survive_a_restart: NOT_COUNTED,
        a_window_limits_the_unsettled_bytes: NO_WINDOW_OF_BYTES,
        a_changed_window_keeps_its_byte_limit: NO_WINDOW_OF_BYTES,
        a_message_larger_than_the_window_is_held_alone: NO_WINDOW_OF_BYTES,
        a_window_limits_bytes_after_a_restart: NO_WINDOW_OF_BYTES,
        a_requeued_message_precedes_later_messages: "a message may be redelivered after one that was requeued later",
        all_figures_are_known: FEW_FIGURES,
        messages_dropped_by_a_bound_are_counted: FEW_FIGURES,
        a_refusing_queue_shows_its_bound_and_its_refusals: FEW_FIGURES,
        browsing_removes_nothing: "a look takes messages and gives them back, which counts as a delivery",
        every_page_names_the_newest_message: "a look takes messages one after the other, and does not go to the end for each page",
        browsing_begins_at_a_cursor_or_after_it: "a cursor is the id of a message: when that is gone, a look begins at the oldest",
        a_tap_never_makes_a_missing_queue_look_present: "a tap is a queue: while it is there, a message finds one",
        a_refusing_queue_refuses_exactly_at_its_bound: APPROXIMATE_BOUND,
        an_empty_queue_accepts_a_message_above_its_bound: APPROXIMATE_BOUND,
        an_empty_drop_oldest_queue_keeps_a_message_above_its_bound: APPROXIMATE_BOUND,
        ensuring_changes_a_refusing_bound_permanently: "the bound of a queue cannot be changed: the queue is kept with its old one",
        a_settle_without_permission_is_refused_and_the_delivery_stays_held: RIGHTS_ARE_KEPT,
        deleting_a_queue_without_permission_is_refused: RIGHTS_ARE_KEPT,
        a_consumer_survives_temporarily_unreadable_messages: ALWAYS_READ,
        an_unreadable_message_is_shown_with_the_reason: ALWAYS_READ,
    }
    // In addition to those of RabbitMQ.
    rabbitmq_quorum, tested_on_rabbitmq_quorum: {
        browsing_from_a_removed_message_begins_after_it_or_at_the_oldest: BEHIND_THE_OTHERS,
        only_one_of_two_messages_with_the_same_id_is_removed: BEHIND_THE_OTHERS,
        other_consumers_of_an_exclusive_flow_queue_are_refused: NOT_ALONE,
        a_flow_queue_with_consumers_cannot_be_held_exclusively: NOT_ALONE,
        the_order_survives_a_restart: BEHIND_THE_OTHERS,
        messages_of_a_lost_consumer_are_redelivered: "an acknowledgement that was sent just before a loss may be lost with it: the message comes again",
        browsing_omits_messages_in_flight: BEHIND_THE_OTHERS,
        a_shown_message_can_be_removed: BEHIND_THE_OTHERS,
        the_last_page_names_the_newest_message: BEHIND_THE_OTHERS,
        only_one_of_several_redrives_of_a_message_sends: BEHIND_THE_OTHERS,
        with_a_window_of_one_a_requeued_message_comes_first: BEHIND_THE_OTHERS,
    }
    pulsar, tested_on_pulsar: {
        an_empty_drop_oldest_queue_keeps_a_message_above_its_bound: CHECKED_NOW_AND_THEN,
        a_settle_into_a_drop_oldest_queue_drops_the_oldest: CHECKED_NOW_AND_THEN,
        messages_of_another_process_during_a_deletion_are_kept_or_refused: LOOKED_AT_APART,
        a_message_refused_by_one_queue_of_a_topic_reaches_no_other: CHECKED_NOW_AND_THEN,
        requests_wait_in_a_queue_of_their_own: REQUESTS_ARE_NOT_KEPT,
        expired_requests_do_not_keep_a_queue_from_being_deleted: REQUESTS_ARE_NOT_KEPT,
        a_failed_settle_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        later_settles_are_refused_until_a_failed_one_is_repeated_or_requeued: "a failed settle does not block later ones",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_full_queue_of_a_request_topic_misses_messages_of_the_others: NO_HIGH_MARK,
        a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        requests_missed_by_a_full_queue_are_counted: NO_HIGH_MARK,
        deliveries_are_counted_exactly: "deliveries are counted by the node that has the topic, until it is restarted",
        delivery_counts_survive_a_restart: "deliveries are counted by the node that has the topic, until it is restarted",
        a_window_limits_the_unsettled_bytes: NO_WINDOW_OF_BYTES,
        a_changed_window_keeps_its_byte_limit: NO_WINDOW_OF_BYTES,
        a_message_larger_than_the_window_is_held_alone: NO_WINDOW_OF_BYTES,
        a_window_limits_bytes_after_a_restart: NO_WINDOW_OF_BYTES,
        a_requeued_message_precedes_later_messages: "a message may be redelivered after one that was requeued later",
        ensuring_a_queue_binds_it_to_its_topic_again: NO_BINDINGS,
        all_figures_are_known: "of its figures, bytes and what was dropped or refused are not known",
        messages_dropped_by_a_bound_are_counted: "of its figures, bytes and what was dropped or refused are not known",
        a_refusing_queue_shows_its_bound_and_its_refusals: "of its figures, bytes and what was dropped or refused are not known",
        a_bounded_queue_drops_the_oldest: CHECKED_NOW_AND_THEN,
        the_properties_of_a_queue_survive_a_restart: CHECKED_NOW_AND_THEN,
        a_refusing_queue_refuses_exactly_at_its_bound: CHECKED_NOW_AND_THEN,
        ensuring_changes_a_refusing_bound_permanently: CHECKED_NOW_AND_THEN,
        consuming_and_acknowledging_continue_while_publishers_are_blocked: NO_BLOCKING,
        a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time: NO_BLOCKING,
        a_waiting_publish_is_stored_once_publishers_are_unblocked: NO_BLOCKING,
        a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery: NO_BLOCKING,
        blocked_publishers_are_reported: NO_BLOCKING,
        redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays: CHECKED_NOW_AND_THEN,
        a_consumer_survives_temporarily_unreadable_messages: ALWAYS_READ,
        an_unreadable_message_is_shown_with_the_reason: ALWAYS_READ,
    }
    network, tested_on_network: {
        unanswered_operations_end_within_a_bounded_time: "its connections are lost or there, never silent",
        a_closed_backend_releases_everything_it_held: "it stands over a broker of one process",
        queues_of_subscribers_and_taps_end_with_them: "queues cannot be listed",
        a_failed_settle_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        later_settles_are_refused_until_a_failed_one_is_repeated_or_requeued: "a failed settle does not block later ones",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        deliveries_are_counted_exactly: NOT_COUNTED,
        delivery_counts_survive_a_restart: NOT_COUNTED,
        all_figures_are_known: FEW_FIGURES,
        messages_dropped_by_a_bound_are_counted: FEW_FIGURES,
        requests_missed_by_a_full_queue_are_counted: FEW_FIGURES,
        a_refusing_queue_shows_its_bound_and_its_refusals: FEW_FIGURES,
        all_queues_are_listed_in_their_order: "queues cannot be listed",
        a_lock_is_not_listed_among_the_queues: "queues cannot be listed",
    }
}
