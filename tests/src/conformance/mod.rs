//! The promises of [`weir_pubsub::Backend`]: one function for each sentence of its contract, run against every broker.
//!
//! A new backend is one [`Broker`] and one line in `tests/it/conformance.rs`; a new promise is one function here and its name in
//! [`for_each_promise!`] (tidy compares them). What only the embedded broker promises is listed apart, in
//! [`for_each_embedded_promise!`]: the exceptions of the others.

mod bed;
pub mod consuming;
pub mod durability;
pub mod exclusivity;
pub mod looking;
pub mod publishing;
pub mod queues;
pub mod redriving;
pub mod refusing;
pub mod requests;
pub mod settling;
pub mod subscribing;

pub use bed::{Bed, Broker, Embedded};

/// Calls a macro with the names of all promises that every backend keeps, by file.
#[macro_export]
macro_rules! for_each_promise {
    ($with:ident) => {
        $with! {
            queues: [
                creating_a_queue_twice_is_no_error,
                creating_a_queue_with_other_properties_is_a_mismatch,
                response_and_notify_topics_have_no_queues,
                ensuring_makes_what_is_missing_and_keeps_what_is_there,
                deleting_a_queue_removes_what_is_in_it,
                deleting_a_queue_that_is_not_there_is_no_error,
                deleting_a_queue_wakes_its_consumers_with_queue_not_found,
                what_was_held_of_a_deleted_queue_is_no_longer_held,
                empty_queues_are_deleted_together,
                while_one_queue_holds_messages_none_is_deleted,
                messages_in_flight_keep_queues_from_being_deleted,
                expired_requests_do_not_keep_a_queue_from_being_deleted,
                deleting_empty_queues_wakes_their_consumers_with_queue_not_found,
                a_message_published_during_a_deletion_is_counted_or_refused,
                a_queue_exists_from_its_making_to_its_deletion,
                all_queues_are_listed_in_their_order,
                stats_count_what_a_queue_holds,
                stats_of_a_missing_queue_are_queue_not_found,
                what_one_caller_does_the_others_see,
            ],
            publishing: [
                a_producer_needs_no_queue_yet,
                flow_and_request_without_a_queue_are_queue_not_found,
                response_and_notify_with_nobody_there_are_dropped_without_an_error,
                every_subscription_of_a_topic_gets_its_copy,
                a_message_without_an_id_gets_one,
                an_id_that_is_set_stays,
                an_absent_id_stays_absent_on_response_and_notify,
                every_part_of_a_message_arrives,
                messages_of_one_producer_keep_their_order,
                a_body_over_the_limit_is_too_large,
                a_property_name_over_the_limit_is_too_large,
                properties_over_the_limit_are_too_large,
                what_is_sent_to_one_queue_passes_the_others,
                sending_to_a_missing_queue_is_queue_not_found,
                sending_to_a_queue_of_response_or_notify_is_wrong_class,
                what_is_sent_to_a_queue_gets_an_id_and_has_limits,
            ],
            consuming: [
                a_consumer_never_makes_a_queue,
                a_queue_filled_while_its_consumer_was_away_gives_it_everything,
                competing_consumers_share_a_queue,
                several_tasks_may_wait_on_one_consumer,
                a_window_bounds_what_is_held_unsettled,
                a_window_bounds_the_bytes_that_are_held,
                a_message_larger_than_the_window_is_held_alone,
                a_window_can_be_widened,
                what_is_held_above_a_narrowed_window_stays,
                dropping_a_consumer_gives_back_what_it_holds,
                what_is_given_back_comes_before_what_is_behind_it,
                what_is_given_back_comes_to_any_consumer,
                giving_back_what_is_not_held_does_nothing,
                deliveries_are_counted_from_one,
                dropping_a_receive_loses_no_message,
                a_message_can_be_waited_for_without_taking_it,
            ],
            exclusivity: [
                beside_an_exclusive_consumer_others_are_refused,
                a_queue_with_consumers_cannot_be_held_exclusively,
                an_exclusive_consumer_holds_until_it_is_dropped,
            ],
            subscribing: [
                every_subscriber_gets_every_message,
                a_subscription_is_bound_when_it_is_returned,
                a_subscriber_gets_only_what_comes_after_it,
                a_subscriber_that_comes_and_goes_leaves_nothing_behind,
                deliveries_of_subscribers_need_no_settling,
                a_tap_takes_nothing_from_the_consumers,
                a_tap_sees_the_outputs_of_settles,
                a_tap_needs_no_queue_and_is_no_consumer,
                a_tap_that_is_too_slow_loses_the_oldest_and_is_told,
            ],
            settling: [
                what_was_settled_is_gone,
                a_settle_sends_its_outputs_to_every_queue,
                outputs_keep_their_order_and_ids,
                settles_take_effect_in_the_order_of_the_calls,
                dropping_a_settle_changes_nothing,
                settling_again_is_no_longer_held,
                settling_what_was_given_back_is_no_longer_held,
                settling_what_another_holds_by_now_is_no_longer_held,
                settling_what_needs_no_settling_does_nothing,
                an_optional_output_without_a_queue_is_dropped_and_counted,
                a_required_output_without_a_queue_is_queue_not_found_and_the_delivery_stays_held,
                an_output_over_the_limit_is_too_large_and_the_delivery_stays_held,
                outputs_may_go_to_topics_of_every_class,
            ],
            looking: [
                browsing_takes_nothing,
                browsing_goes_on_behind_a_position,
                browsing_leaves_out_what_is_in_work,
                heads_show_the_beginning_of_each_body_and_its_size,
                heads_go_on_behind_a_position_and_name_the_newest,
                taking_removes_one_message,
                what_is_in_work_or_gone_cannot_be_taken,
                looking_at_a_missing_queue_is_queue_not_found,
            ],
            redriving: [
                redriving_moves_a_message_into_one_queue,
                redriving_what_is_gone_or_in_work_sends_nothing,
                redriving_without_a_queue_is_queue_not_found_and_the_message_stays,
                redriving_has_the_limits_of_sending_and_the_message_stays,
            ],
            requests: [
                an_expired_request_is_not_delivered,
                a_request_that_still_has_time_is_delivered,
                an_answer_finds_its_request,
                an_answer_in_parts_comes_in_parts,
                without_an_answer_a_request_times_out,
            ],
            durability: [
                what_was_published_is_there_after_a_restart,
                what_was_settled_is_gone_after_a_restart,
                what_was_held_comes_again_after_a_restart,
                request_queues_go_with_the_broker,
            ],
        }
    };
}

/// Calls a macro with the names of the promises that only the embedded broker keeps, by file.
#[macro_export]
macro_rules! for_each_embedded_promise {
    ($with:ident) => {
        $with! {
            queues: [
                a_bounded_queue_drops_the_oldest_and_counts_them,
                queues_deleted_together_are_gone_together_after_a_restart,
            ],
            redriving: [
                of_several_redrives_of_one_message_one_sends,
                redriving_to_a_full_queue_is_queue_full_and_the_message_stays,
                a_redrive_is_there_after_a_restart,
            ],
            refusing: [
                a_refusing_queue_refuses_what_is_above_its_bound,
                an_empty_queue_accepts_a_message_above_its_bound,
                a_settle_into_a_refusing_queue_is_queue_full_and_the_delivery_stays_held,
                ensuring_changes_a_refusing_bound_for_good,
            ],
            publishing: [
                a_full_queue_is_queue_full_and_nothing_is_sent,
                a_full_queue_of_a_request_topic_misses_what_the_others_get,
                a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full,
            ],
            settling: [
                a_settle_never_fails_for_a_full_queue,
                a_settle_that_fails_sends_nothing,
                after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back,
            ],
            durability: [
                outputs_of_a_settle_are_there_after_a_restart,
                the_order_is_kept_over_a_restart,
                deliveries_are_counted_over_a_restart,
                a_window_bounds_bytes_after_a_restart,
                the_properties_of_a_queue_are_kept_over_a_restart,
                a_closed_backend_is_unavailable,
                closing_wakes_consumers_with_unavailable,
            ],
        }
    };
}
