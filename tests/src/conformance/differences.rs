//! What differs between brokers, in the words of docs/concepts.md: each row of its table stands for promises.

/// The rows of the table, each with the promises that it stands for: a broker that excepts none of them keeps it.
pub const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "Acknowledging a message and sending its outputs is one atomic step",
        &[
            "a_settle_that_fails_sends_nothing",
            "a_settle_into_a_refusing_queue_sends_nothing",
            "after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back",
        ],
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
        "Redelivered messages keep their position in the queue",
        &["what_is_given_back_comes_before_what_is_behind_it", "the_order_is_kept_over_a_restart"],
    ),
    (
        "Deliveries of a message are counted exactly, also across restarts",
        &["deliveries_are_counted_exactly", "deliveries_are_counted_over_a_restart"],
    ),
    (
        "An empty queue is deleted in one step; several are deleted together or not at all",
        &[
            "a_message_published_during_a_deletion_is_counted_or_refused",
            "while_one_queue_holds_messages_none_is_deleted",
            "a_message_published_while_several_queues_are_deleted_is_counted_or_refused",
            "queues_deleted_together_are_gone_together_after_a_restart",
        ],
    ),
    ("A dead letter is sent again exactly once", &["of_several_redrives_of_one_message_one_sends"]),
    (
        "Waiting messages can be listed and removed without consuming the queue",
        &[
            "browsing_takes_nothing",
            "browsing_goes_on_behind_a_cursor",
            "browsing_begins_at_a_cursor_or_behind_it",
            "browsing_leaves_out_what_is_in_work",
            "browsing_shows_the_beginning_of_each_body_and_its_size",
            "a_page_names_the_newest_message",
            "a_shown_message_can_be_removed",
            "what_is_in_work_or_gone_cannot_be_removed",
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
    ("All queues of the broker can be listed", &["all_queues_are_listed_in_their_order"]),
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
            "what_is_not_confirmed_at_a_loss_is_stored_or_in_doubt",
            "without_a_connection_operations_are_unavailable_until_it_is_back",
            "requests_under_way_fail_at_a_loss_and_later_ones_are_answered",
            "request_queues_are_gone_after_a_restart_of_the_broker_and_their_owner_ensures_them",
            "subscribing_again_waits_for_the_broker",
        ],
    ),
];

/// Brokers of the suite that a user cannot choose: they have no column.
pub const STAND_INS: &[&str] = &["network"];
