//! What differs between brokers, in the words of docs/concepts.md: each row of its table stands for promises.

/// The rows of the table, each with the promises that it stands for: a broker that excepts none of them keeps it.
pub const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "Acknowledging a message and sending its outputs is one atomic step",
        &["a_settle_that_fails_sends_nothing", "a_settle_into_a_refusing_queue_sends_nothing"],
    ),
    (
        "While one message cannot be settled, no later one of the same processor is",
        &["after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back"],
    ),
    (
        "A full queue refuses new messages, and still accepts the outputs of processors",
        &[
            "a_full_queue_is_queue_full_and_nothing_is_sent",
            "a_full_queue_of_a_request_topic_misses_what_the_others_get",
            "a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full",
            "a_settle_never_fails_for_a_full_queue",
            "redriving_to_a_full_queue_is_queue_full_and_the_message_stays",
        ],
    ),
    (
        "A queue with a limit refuses messages at exactly that limit, and the limit can be changed later",
        &[
            "a_refusing_queue_refuses_to_the_byte",
            "an_empty_queue_accepts_a_message_above_its_bound",
            "an_empty_queue_that_drops_keeps_a_message_above_its_bound",
            "ensuring_changes_a_refusing_bound_for_good",
            "redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays",
            "what_one_queue_of_a_topic_refuses_no_other_gets",
        ],
    ),
    (
        "A queue has one reader if that reader requires it (`request` and `flow` queues)",
        &[
            "beside_an_exclusive_consumer_of_a_request_queue_others_are_refused",
            "beside_an_exclusive_consumer_of_a_flow_queue_others_are_refused",
            "a_request_queue_with_consumers_cannot_be_held_exclusively",
            "a_flow_queue_with_consumers_cannot_be_held_exclusively",
            "an_exclusive_consumer_of_a_request_queue_holds_until_it_is_dropped",
            "an_exclusive_consumer_of_a_flow_queue_holds_until_it_is_dropped",
        ],
    ),
    ("A request waits for its processor if that is away for a moment", &["requests_wait_in_a_queue_of_their_own"]),
    (
        "A queue with a limit drops its oldest messages as soon as it is above that limit",
        &[
            "a_bounded_queue_drops_the_oldest",
            "a_settle_into_a_queue_that_drops_drops_its_oldest",
            "the_properties_of_a_queue_are_kept_over_a_restart",
        ],
    ),
    (
        "A window limits the bytes in flight as well as the messages, and can be changed while it is in use",
        &[
            "a_window_bounds_the_bytes_that_are_held",
            "a_message_larger_than_the_window_is_held_alone",
            "a_window_bounds_bytes_after_a_restart",
            "a_window_can_be_widened",
            "a_changed_window_keeps_its_bound_of_bytes",
            "what_is_held_above_a_narrowed_window_stays",
        ],
    ),
    ("A missing queue is noticed also while a tap reads the topic", &["a_tap_never_makes_a_missing_queue_look_present"]),
    (
        "Redelivered messages keep their position in the queue",
        &[
            "what_is_given_back_comes_before_what_is_behind_it",
            "with_a_window_of_one_what_is_given_back_comes_first",
            "the_order_is_kept_over_a_restart",
        ],
    ),
    (
        "Deliveries of a message are counted exactly, also across restarts",
        &["deliveries_are_counted_exactly", "deliveries_are_counted_over_a_restart"],
    ),
    (
        "An empty queue is deleted in one step; several are deleted together or not at all",
        &[
            "a_message_published_during_a_deletion_is_counted_or_refused",
            "what_another_process_publishes_during_a_deletion_is_kept_or_refused",
            "messages_in_flight_in_another_process_keep_a_queue_from_being_deleted",
            "deleting_an_empty_queue_wakes_its_consumers_with_queue_not_found",
            "expired_requests_do_not_keep_a_queue_from_being_deleted",
            "while_one_queue_holds_messages_none_is_deleted",
            "a_message_published_while_several_queues_are_deleted_is_counted_or_refused",
            "queues_deleted_together_are_gone_together_after_a_restart",
        ],
    ),
    ("A dead letter is resent exactly once", &["of_several_redrives_of_one_message_one_sends"]),
    (
        "Waiting messages can be listed and removed without consuming the queue",
        &[
            "browsing_takes_nothing",
            "browsing_goes_on_behind_a_cursor",
            "browsing_begins_at_a_cursor_or_behind_it",
            "browsing_leaves_out_what_is_in_work",
            "browsing_shows_the_beginning_of_each_body_and_its_size",
            "a_page_that_sees_the_end_names_the_newest_message",
            "every_page_names_the_newest_message",
            "a_shown_message_can_be_removed",
            "a_look_from_a_cursor_whose_message_is_gone_begins_behind_it_or_at_the_oldest",
            "of_two_messages_with_one_id_one_is_removed",
            "what_is_in_work_or_gone_cannot_be_removed",
            "looking_at_a_missing_queue_is_queue_not_found",
            "looking_into_a_closed_backend_is_unavailable",
            "redriving_moves_a_message_into_one_queue",
            "redriving_what_is_gone_or_in_work_sends_nothing",
            "redriving_without_a_queue_is_queue_not_found_and_the_message_stays",
            "redriving_has_the_limits_of_publishing_and_the_message_stays",
            "a_redrive_is_there_after_a_restart",
        ],
    ),
    (
        "All figures of a queue are known: messages, bytes, in flight, consumers, dropped, refused",
        &[
            "all_figures_are_known",
            "messages_dropped_by_a_bound_are_counted",
            "requests_that_a_full_queue_misses_are_counted",
            "a_refusing_queue_shows_its_bound_and_its_refusals",
        ],
    ),
    (
        "All queues of the broker can be listed",
        &[
            "all_queues_are_listed_in_their_order",
            "a_lock_is_not_listed_among_the_queues",
            "what_a_subscriber_or_a_tap_made_is_gone_with_it",
        ],
    ),
    (
        "After a lost connection, Weir reconnects and continues without a restart",
        &[
            "a_lost_connection_ends_consumers_with_unavailable",
            "a_consumer_that_has_ended_stays_ended",
            "a_lost_connection_ends_taps_with_unavailable",
            "a_settle_that_is_cut_by_a_loss_loses_nothing",
            "what_a_lost_consumer_held_comes_again",
            "settling_what_a_lost_consumer_held_is_no_longer_held",
            "the_error_of_a_loss_keeps_its_source",
            "producers_survive_a_loss",
            "consumers_outlast_the_loss_of_publishing",
            "publishing_outlasts_the_loss_of_consuming",
            "a_lost_connection_frees_what_was_held_exclusively",
            "a_redrive_that_is_cut_by_a_loss_loses_nothing",
            "a_message_is_published_again_until_it_is_confirmed",
            "publishing_again_ends_with_its_time_or_a_refusal",
            "what_is_not_confirmed_at_a_loss_is_stored_or_in_doubt",
            "without_a_connection_operations_are_unavailable_until_it_is_back",
            "a_broker_that_is_away_is_in_trouble_until_it_is_back",
            "requests_under_way_fail_at_a_loss_and_later_ones_are_answered",
            "request_queues_are_gone_after_a_restart_of_the_broker_and_their_owner_ensures_them",
            "subscribing_again_waits_for_the_broker",
            "without_an_answer_operations_end_within_a_bounded_time",
            "what_a_backend_held_is_free_once_it_is_closed",
            "a_lost_connection_loses_the_lock",
            "a_lock_that_was_lost_stays_lost",
            "without_a_connection_a_lock_is_unavailable",
            "a_lock_can_be_taken_after_a_restart_of_the_broker",
        ],
    ),
    ("A binding that was removed by hand is restored", &["ensuring_a_queue_binds_it_to_its_topic_again"]),
    (
        "While the broker blocks publishers (memory alarm), messages are consumed and acknowledged",
        &[
            "while_publishers_are_blocked_consuming_and_acknowledging_go_on",
            "a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time",
            "a_publish_that_waits_is_stored_once_publishers_go_on",
            "a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery",
            "while_publishers_are_blocked_the_broker_is_in_trouble",
        ],
    ),
    (
        "Missing permissions are reported, and work continues without a restart once they are granted",
        &[
            "making_a_queue_without_the_right_is_refused",
            "deleting_a_queue_without_the_right_is_refused",
            "subscribing_without_the_right_is_refused",
            "publishing_without_the_right_is_refused",
            "a_settle_without_the_right_is_refused_and_the_delivery_stays_held",
            "a_request_whose_answer_cannot_be_subscribed_to_is_refused",
            "subscribing_again_outlasts_a_refusal",
            "a_lock_without_the_right_is_refused",
        ],
    ),
    (
        "While messages on the broker's disk cannot be read, consumers wait and continue without a restart",
        &["a_consumer_outlasts_messages_that_cannot_be_read_for_a_while", "a_message_that_cannot_be_read_is_shown_with_the_reason"],
    ),
];

/// Brokers of the suite without a column: a stand-in that a user cannot choose, and queues that docs/rabbitmq.md speaks of.
pub const STAND_INS: &[&str] = &["network", "rabbitmq_quorum"];
