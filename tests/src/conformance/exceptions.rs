//! What a broker does not promise: its exceptions, by promise, each with the reason.
//!
//! This is the only place that names them. A promise that is excepted on a broker is not tested there; `tests/it/conformance.rs` prints and
//! checks the table, and holds docs/concepts.md to it.

/// The exceptions of one broker.
pub struct Exceptions {
    /// Its name, as the column of docs/concepts.md has it.
    pub broker: &'static str,
    /// Promises, each with the reason.
    pub promises: &'static [(&'static str, &'static str)],
}

/// Makes of the table [`EXCEPTIONS`], and for each broker a macro that leaves out the test of an excepted promise.
///
/// `$d` is a dollar sign, for the macros that this one makes.
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
    "a quorum queue puts what is given back behind the others, a look too: queues that Weir looks into are classic";

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
        without_an_answer_operations_end_within_a_bounded_time: IN_PROCESS,
        what_a_backend_held_is_free_once_it_is_closed: IN_PROCESS,
        a_lost_connection_ends_consumers_with_unavailable: IN_PROCESS,
        a_consumer_that_has_ended_stays_ended: IN_PROCESS,
        a_lost_connection_ends_taps_with_unavailable: IN_PROCESS,
        a_settle_that_is_cut_by_a_loss_loses_nothing: IN_PROCESS,
        what_a_lost_consumer_held_comes_again: IN_PROCESS,
        settling_what_a_lost_consumer_held_is_no_longer_held: IN_PROCESS,
        the_error_of_a_loss_keeps_its_source: IN_PROCESS,
        producers_survive_a_loss: IN_PROCESS,
        consumers_outlast_the_loss_of_publishing: IN_PROCESS,
        publishing_outlasts_the_loss_of_consuming: IN_PROCESS,
        a_lost_connection_frees_what_was_held_exclusively: IN_PROCESS,
        a_redrive_that_is_cut_by_a_loss_loses_nothing: IN_PROCESS,
        a_message_is_published_again_until_it_is_confirmed: IN_PROCESS,
        publishing_again_ends_with_its_time_or_a_refusal: IN_PROCESS,
        what_is_not_confirmed_at_a_loss_is_stored_or_in_doubt: IN_PROCESS,
        without_a_connection_operations_are_unavailable_until_it_is_back: IN_PROCESS,
        a_broker_that_is_away_is_in_trouble_until_it_is_back: IN_PROCESS,
        requests_under_way_fail_at_a_loss_and_later_ones_are_answered: IN_PROCESS,
        request_queues_are_gone_after_a_restart_of_the_broker_and_their_owner_ensures_them: IN_PROCESS,
        subscribing_again_waits_for_the_broker: IN_PROCESS,
        a_lost_connection_loses_the_lock: IN_PROCESS,
        a_lock_that_was_lost_stays_lost: IN_PROCESS,
        without_a_connection_a_lock_is_unavailable: IN_PROCESS,
        a_lock_can_be_taken_after_a_restart_of_the_broker: IN_PROCESS,
        ensuring_a_queue_binds_it_to_its_topic_again: NO_BINDINGS,
        while_publishers_are_blocked_consuming_and_acknowledging_go_on: NO_ALARM,
        a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time: NO_ALARM,
        a_publish_that_waits_is_stored_once_publishers_go_on: NO_ALARM,
        a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery: NO_ALARM,
        while_publishers_are_blocked_the_broker_is_in_trouble: NO_ALARM,
        making_a_queue_without_the_right_is_refused: NO_USERS,
        deleting_a_queue_without_the_right_is_refused: NO_USERS,
        subscribing_without_the_right_is_refused: NO_USERS,
        publishing_without_the_right_is_refused: NO_USERS,
        a_settle_without_the_right_is_refused_and_the_delivery_stays_held: NO_USERS,
        a_request_whose_answer_cannot_be_subscribed_to_is_refused: NO_USERS,
        subscribing_again_outlasts_a_refusal: NO_USERS,
        a_lock_without_the_right_is_refused: NO_USERS,
    }
    rabbitmq, tested_on_rabbitmq: {
        a_message_published_during_a_deletion_is_counted_or_refused:
            "a queue is unbound while it is looked at: what is published meanwhile may be refused although the queue stays",
        a_settle_that_fails_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back: "a settle that fails holds up no other one",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_full_queue_of_a_request_topic_misses_what_the_others_get: NO_HIGH_MARK,
        a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        requests_that_a_full_queue_misses_are_counted: NO_HIGH_MARK,
        what_one_queue_of_a_topic_refuses_no_other_gets: EACH_QUEUE_REFUSES,
        deliveries_are_counted_exactly: NOT_COUNTED,
        deliveries_are_counted_over_a_restart: NOT_COUNTED,
        a_window_bounds_the_bytes_that_are_held: NO_WINDOW_OF_BYTES,
        a_changed_window_keeps_its_bound_of_bytes: NO_WINDOW_OF_BYTES,
        a_message_larger_than_the_window_is_held_alone: NO_WINDOW_OF_BYTES,
        a_window_bounds_bytes_after_a_restart: NO_WINDOW_OF_BYTES,
        what_is_given_back_comes_before_what_is_behind_it: "a message that is given back may come after one that is given back later",
        all_figures_are_known: FEW_FIGURES,
        messages_dropped_by_a_bound_are_counted: FEW_FIGURES,
        a_refusing_queue_shows_its_bound_and_its_refusals: FEW_FIGURES,
        browsing_takes_nothing: "a look takes messages and gives them back, which counts as a delivery",
        every_page_names_the_newest_message: "a look takes messages one after the other, and does not go to the end for each page",
        browsing_begins_at_a_cursor_or_behind_it: "a cursor is the id of a message: when that is gone, a look begins at the oldest",
        a_tap_never_makes_a_missing_queue_look_present: "a tap is a queue: while it is there, a message finds one",
        a_refusing_queue_refuses_to_the_byte: APPROXIMATE_BOUND,
        an_empty_queue_accepts_a_message_above_its_bound: APPROXIMATE_BOUND,
        an_empty_queue_that_drops_keeps_a_message_above_its_bound: APPROXIMATE_BOUND,
        ensuring_changes_a_refusing_bound_for_good: "the bound of a queue cannot be changed: the queue is kept with its old one",
        a_settle_without_the_right_is_refused_and_the_delivery_stays_held: RIGHTS_ARE_KEPT,
        deleting_a_queue_without_the_right_is_refused: RIGHTS_ARE_KEPT,
        a_consumer_outlasts_messages_that_cannot_be_read_for_a_while: ALWAYS_READ,
        a_message_that_cannot_be_read_is_shown_with_the_reason: ALWAYS_READ,
    }
    // Beside those of RabbitMQ.
    rabbitmq_quorum, tested_on_rabbitmq_quorum: {
        a_look_from_a_cursor_whose_message_is_gone_begins_behind_it_or_at_the_oldest: BEHIND_THE_OTHERS,
        of_two_messages_with_one_id_one_is_removed: BEHIND_THE_OTHERS,
        beside_an_exclusive_consumer_of_a_flow_queue_others_are_refused: NOT_ALONE,
        a_flow_queue_with_consumers_cannot_be_held_exclusively: NOT_ALONE,
        the_order_is_kept_over_a_restart: BEHIND_THE_OTHERS,
        what_a_lost_consumer_held_comes_again: "an acknowledgement that was sent just before a loss may be lost with it: the message comes again",
        browsing_leaves_out_what_is_in_work: BEHIND_THE_OTHERS,
        a_shown_message_can_be_removed: BEHIND_THE_OTHERS,
        a_page_that_sees_the_end_names_the_newest_message: BEHIND_THE_OTHERS,
        of_several_redrives_of_one_message_one_sends: BEHIND_THE_OTHERS,
        with_a_window_of_one_what_is_given_back_comes_first: BEHIND_THE_OTHERS,
    }
    pulsar, tested_on_pulsar: {
        an_empty_queue_that_drops_keeps_a_message_above_its_bound: CHECKED_NOW_AND_THEN,
        a_settle_into_a_queue_that_drops_drops_its_oldest: CHECKED_NOW_AND_THEN,
        what_another_process_publishes_during_a_deletion_is_kept_or_refused: LOOKED_AT_APART,
        what_one_queue_of_a_topic_refuses_no_other_gets: CHECKED_NOW_AND_THEN,
        requests_wait_in_a_queue_of_their_own: REQUESTS_ARE_NOT_KEPT,
        expired_requests_do_not_keep_a_queue_from_being_deleted: REQUESTS_ARE_NOT_KEPT,
        a_settle_that_fails_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back: "a settle that fails holds up no other one",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_full_queue_of_a_request_topic_misses_what_the_others_get: NO_HIGH_MARK,
        a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        requests_that_a_full_queue_misses_are_counted: NO_HIGH_MARK,
        deliveries_are_counted_exactly: "deliveries are counted by the node that has the topic, until it is restarted",
        deliveries_are_counted_over_a_restart: "deliveries are counted by the node that has the topic, until it is restarted",
        a_window_bounds_the_bytes_that_are_held: NO_WINDOW_OF_BYTES,
        a_changed_window_keeps_its_bound_of_bytes: NO_WINDOW_OF_BYTES,
        a_message_larger_than_the_window_is_held_alone: NO_WINDOW_OF_BYTES,
        a_window_bounds_bytes_after_a_restart: NO_WINDOW_OF_BYTES,
        what_is_given_back_comes_before_what_is_behind_it: "a message that is given back may come after one that is given back later",
        ensuring_a_queue_binds_it_to_its_topic_again: NO_BINDINGS,
        all_figures_are_known: "of its figures, bytes and what was dropped or refused are not known",
        messages_dropped_by_a_bound_are_counted: "of its figures, bytes and what was dropped or refused are not known",
        a_refusing_queue_shows_its_bound_and_its_refusals: "of its figures, bytes and what was dropped or refused are not known",
        a_bounded_queue_drops_the_oldest: CHECKED_NOW_AND_THEN,
        the_properties_of_a_queue_are_kept_over_a_restart: CHECKED_NOW_AND_THEN,
        a_refusing_queue_refuses_to_the_byte: CHECKED_NOW_AND_THEN,
        ensuring_changes_a_refusing_bound_for_good: CHECKED_NOW_AND_THEN,
        while_publishers_are_blocked_consuming_and_acknowledging_go_on: NO_BLOCKING,
        a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time: NO_BLOCKING,
        a_publish_that_waits_is_stored_once_publishers_go_on: NO_BLOCKING,
        a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery: NO_BLOCKING,
        while_publishers_are_blocked_the_broker_is_in_trouble: NO_BLOCKING,
        redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays: CHECKED_NOW_AND_THEN,
        a_consumer_outlasts_messages_that_cannot_be_read_for_a_while: ALWAYS_READ,
        a_message_that_cannot_be_read_is_shown_with_the_reason: ALWAYS_READ,
    }
    network, tested_on_network: {
        without_an_answer_operations_end_within_a_bounded_time: "its connections are lost or there, never silent",
        what_a_backend_held_is_free_once_it_is_closed: "it stands over a broker of one process",
        what_a_subscriber_or_a_tap_made_is_gone_with_it: "queues cannot be listed",
        a_settle_that_fails_sends_nothing: NOT_ATOMIC,
        a_settle_into_a_refusing_queue_sends_nothing: NOT_ATOMIC,
        after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back: "a settle that fails holds up no other one",
        while_one_queue_holds_messages_none_is_deleted: ONE_BY_ONE,
        a_message_published_while_several_queues_are_deleted_is_counted_or_refused: ONE_BY_ONE,
        queues_deleted_together_are_gone_together_after_a_restart: ONE_BY_ONE,
        a_full_queue_is_queue_full_and_nothing_is_sent: NO_HIGH_MARK,
        a_settle_never_fails_for_a_full_queue: NO_HIGH_MARK,
        redriving_to_a_full_queue_is_queue_full_and_the_message_stays: NO_HIGH_MARK,
        deliveries_are_counted_exactly: NOT_COUNTED,
        deliveries_are_counted_over_a_restart: NOT_COUNTED,
        all_figures_are_known: FEW_FIGURES,
        messages_dropped_by_a_bound_are_counted: FEW_FIGURES,
        requests_that_a_full_queue_misses_are_counted: FEW_FIGURES,
        a_refusing_queue_shows_its_bound_and_its_refusals: FEW_FIGURES,
        all_queues_are_listed_in_their_order: "queues cannot be listed",
        a_lock_is_not_listed_among_the_queues: "queues cannot be listed",
    }
}
