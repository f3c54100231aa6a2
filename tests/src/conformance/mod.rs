//! The promises of [`weir_pubsub::Backend`]: one function for each promise of its contract, run against every broker.
//!
//! A new promise is one function here and its name in [`for_each_promise!`] (tidy compares them). A new broker is one [`Broker`], its exceptions
//! in exceptions.rs, and one line in `tests/it/conformance.rs`.
//!
//! Promises are checked by consuming: never by figures or by looking into queues, which not every broker can do, except those about
//! [`weir_pubsub::Inspect`] itself.

mod bed;
pub mod blocking;
mod brokers;
pub mod consuming;
pub mod deleting;
pub mod differences;
pub mod durability;
pub mod exceptions;
pub mod exclusivity;
pub mod figures;
pub mod filling;
pub mod locks;
pub mod looking;
pub mod losses;
pub mod partial;
pub mod publishing;
mod pulsar;
pub mod queues;
mod rabbit;
pub mod redriving;
pub mod refusing;
pub mod requests;
pub mod rights;
pub mod settling;
pub mod subscribing;

pub use bed::Bed;
pub use brokers::{Broker, Embedded, Network};
pub use pulsar::Pulsar;
pub use rabbit::RabbitMq;

/// Calls a macro with some arguments of its own, and then the names of all promises, by file.
#[macro_export]
macro_rules! for_each_promise {
    ($with:ident!($($arguments:tt)*)) => {
        $with! {
            ($($arguments)*)
            queues: [
                creating_a_queue_twice_is_no_error,
                a_new_queue_gets_nothing_that_was_published_before,
                creating_a_queue_with_other_properties_is_a_mismatch,
                response_and_notify_topics_have_no_queues,
                ensuring_makes_what_is_missing_and_keeps_what_is_there,
                ensuring_a_queue_binds_it_to_its_topic_again,
                deleting_a_queue_removes_what_is_in_it,
                deleting_a_queue_that_is_not_there_is_no_error,
                deleting_a_queue_wakes_its_consumers_with_queue_not_found,
                what_was_held_of_a_deleted_queue_is_no_longer_held,
                a_queue_exists_from_its_making_to_its_deletion,
                what_one_caller_does_the_others_see,
                a_cancelled_operation_happened_or_did_not,
                giving_back_goes_on_although_its_caller_has_gone,
                a_cancelled_deletion_leaves_no_queue_without_its_topic,
                a_bounded_queue_drops_the_oldest,
                a_cancelled_creation_leaves_no_queue_without_its_topic,
                an_empty_queue_that_drops_keeps_a_message_above_its_bound,
                a_bound_may_be_as_large_as_brokers_count,
            ],
            deleting: [
                an_empty_queue_is_deleted_if_empty,
                a_queue_that_holds_messages_is_kept_and_reported,
                messages_in_flight_keep_a_queue_from_being_deleted,
                expired_requests_do_not_keep_a_queue_from_being_deleted,
                deleting_an_empty_queue_wakes_its_consumers_with_queue_not_found,
                a_message_published_during_a_deletion_is_counted_or_refused,
                what_another_process_publishes_during_a_deletion_is_kept_or_refused,
                messages_in_flight_in_another_process_keep_a_queue_from_being_deleted,
                empty_queues_are_deleted_together,
                of_several_queues_one_that_holds_messages_is_kept_and_reported,
                of_several_queues_those_behind_one_that_holds_messages_are_kept,
                while_one_queue_holds_messages_none_is_deleted,
                a_message_published_while_several_queues_are_deleted_is_counted_or_refused,
                queues_deleted_together_are_gone_together_after_a_restart,
                a_queue_that_is_ensured_during_a_deletion_keeps_its_messages,
                deleting_a_queue_ends_the_consumers_of_other_processes,
            ],
            publishing: [
                a_producer_needs_no_queue_yet,
                flow_and_request_without_a_queue_are_queue_not_found,
                response_and_notify_without_a_subscriber_are_dropped_without_an_error,
                every_subscription_of_a_topic_gets_its_copy,
                a_message_without_an_id_gets_one,
                an_id_that_is_set_stays,
                an_absent_id_stays_absent_on_response_and_notify,
                every_part_of_a_message_arrives,
                messages_of_one_producer_keep_their_order,
                a_body_over_the_limit_is_too_large,
                a_check_refuses_what_is_too_large_to_publish,
                a_property_name_over_the_limit_is_too_large,
                properties_over_the_limit_are_too_large,
                messages_are_stored_in_the_order_of_their_publishes_whenever_they_are_confirmed,
                publishes_of_several_tasks_are_stored_in_the_order_in_which_they_returned,
                a_message_whose_confirmation_is_dropped_is_stored,
                a_publish_that_is_dropped_was_sent_or_not,
                of_several_publishes_the_refused_one_alone_is_not_stored,
                several_publishes_without_a_queue_are_all_refused,
                publishes_wait_while_too_much_is_under_way,
                a_confirmation_returns_its_outcome_once,
            ],
            consuming: [
                a_consumer_never_makes_a_queue,
                a_queue_name_that_is_too_long_is_refused,
                a_queue_filled_while_its_consumer_was_away_gives_it_everything,
                requests_wait_in_a_queue_of_their_own,
                a_request_is_delivered_settled_and_given_back,
                competing_consumers_share_a_queue,
                several_tasks_may_wait_on_one_consumer,
                a_window_bounds_what_is_held_unsettled,
                a_window_bounds_the_bytes_that_are_held,
                a_message_larger_than_the_window_is_held_alone,
                a_window_can_be_widened,
                a_changed_window_keeps_its_bound_of_bytes,
                what_is_held_above_a_narrowed_window_stays,
                dropping_a_consumer_gives_back_what_it_holds,
                what_is_given_back_comes_before_what_is_behind_it,
                what_is_given_back_comes_to_any_consumer,
                giving_back_what_is_not_held_does_nothing,
                a_delivery_count_is_exact_or_at_least,
                deliveries_are_counted_exactly,
                a_message_can_be_waited_for_without_taking_it,
                dropping_a_receive_loses_no_message,
                a_consumer_that_is_given_up_while_it_begins_holds_no_message,
                a_window_may_be_larger_than_the_broker_counts,
                with_a_window_of_one_what_is_given_back_comes_first,
            ],
            exclusivity: [
                beside_an_exclusive_consumer_of_a_request_queue_others_are_refused,
                beside_an_exclusive_consumer_of_a_flow_queue_others_are_refused,
                a_request_queue_with_consumers_cannot_be_held_exclusively,
                a_flow_queue_with_consumers_cannot_be_held_exclusively,
                an_exclusive_consumer_of_a_request_queue_holds_until_it_is_dropped,
                an_exclusive_consumer_of_a_flow_queue_holds_until_it_is_dropped,
                an_exclusive_consumer_is_alone_among_all_processes,
                a_changed_window_keeps_the_queue_held_or_ends_its_consumer,
            ],
            locks: [
                a_lock_has_one_holder,
                a_lock_has_one_holder_among_all_processes,
                locks_of_other_names_are_independent,
                a_lock_is_held_until_it_is_dropped,
                a_lock_whose_taking_is_cancelled_is_released,
                a_held_lock_is_not_lost,
                a_lost_connection_loses_the_lock,
                a_lock_that_was_lost_stays_lost,
                without_a_connection_a_lock_is_unavailable,
                a_lock_can_be_taken_after_a_restart_of_the_broker,
                a_lock_without_the_right_is_refused,
                closing_loses_locks,
                the_holder_of_a_lock_is_shown,
                a_lock_is_not_listed_among_the_queues,
            ],
            subscribing: [
                every_subscriber_gets_every_message,
                a_subscription_is_bound_when_it_is_returned,
                a_subscriber_gets_only_what_comes_after_it,
                a_subscriber_that_comes_and_goes_leaves_nothing_behind,
                deliveries_of_subscribers_need_no_settling,
                a_subscriber_that_is_too_slow_loses_the_oldest_and_is_told,
                a_tap_takes_nothing_from_the_consumers,
                a_tap_sees_the_outputs_of_settles,
                a_tap_never_makes_a_missing_queue_look_present,
                a_tap_is_gone_with_its_reader,
                a_tap_that_is_too_slow_loses_the_oldest_and_is_told,
                what_a_subscriber_or_a_tap_made_is_gone_with_it,
                what_waits_for_a_slow_tap_is_bounded_in_bytes,
            ],
            settling: [
                what_was_settled_is_gone,
                a_settle_sends_its_outputs_to_every_queue,
                outputs_keep_their_order_and_ids,
                settles_take_effect_in_the_order_of_the_calls,
                dropping_a_settle_changes_nothing,
                settling_again_is_no_longer_held,
                a_settle_that_fails_with_nobody_waiting_loses_nothing,
                settling_what_was_given_back_is_no_longer_held,
                settling_what_another_holds_by_now_is_no_longer_held,
                a_settle_after_its_consumer_went_takes_effect_or_the_message_comes_again,
                settling_what_needs_no_settling_does_nothing,
                several_deliveries_are_acknowledged_together,
                an_optional_output_without_a_queue_is_dropped_and_counted,
                a_required_output_without_a_queue_is_queue_not_found_and_the_delivery_stays_held,
                an_output_over_the_limit_is_too_large_and_the_delivery_stays_held,
                repeating_a_failed_settle_sends_each_output_once,
                a_failed_settle_keeps_its_cause,
                outputs_may_go_to_topics_of_every_class,
                a_settle_that_fails_sends_nothing,
                after_a_settle_that_failed_later_ones_succeed_once_it_is_repeated,
                after_a_settle_that_failed_later_ones_wait_until_it_is_repeated_or_given_back,
                a_settle_under_way_when_its_consumer_goes_takes_effect_or_the_message_comes_again,
                after_a_settle_that_was_too_large_later_ones_succeed,
                routing_has_no_effect_on_topics_without_queues,
                outputs_without_an_id_get_one,
            ],
            requests: [
                an_expired_request_is_not_delivered,
                a_request_that_still_has_time_is_delivered,
                an_answer_finds_its_request,
                an_answer_in_parts_comes_in_parts,
                without_an_answer_a_request_times_out,
                only_requests_expire,
            ],
            losses: [
                a_lost_connection_ends_consumers_with_unavailable,
                a_lost_connection_ends_taps_with_unavailable,
                a_consumer_that_has_ended_stays_ended,
                what_a_lost_consumer_held_comes_again,
                settling_what_a_lost_consumer_held_is_no_longer_held,
                the_error_of_a_loss_keeps_its_source,
                producers_survive_a_loss,
                a_lost_connection_frees_what_was_held_exclusively,
                a_message_is_published_again_until_it_is_confirmed,
                publishing_again_ends_with_its_time_or_a_refusal,
                what_is_not_confirmed_at_a_loss_is_stored_or_in_doubt,
                a_settle_that_is_cut_by_a_loss_loses_nothing,
                without_a_connection_operations_are_unavailable_until_it_is_back,
                a_broker_that_is_away_is_in_trouble_until_it_is_back,
                requests_under_way_fail_at_a_loss_and_later_ones_are_answered,
                request_queues_are_gone_after_a_restart_of_the_broker_and_their_owner_ensures_them,
                subscribing_again_waits_for_the_broker,
            ],
            partial: [
                consumers_outlast_the_loss_of_publishing,
                publishing_outlasts_the_loss_of_consuming,
                without_an_answer_operations_end_within_a_bounded_time,
            ],
            blocking: [
                while_publishers_are_blocked_consuming_and_acknowledging_go_on,
                a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time,
                a_publish_that_waits_is_stored_once_publishers_go_on,
                a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery,
                while_publishers_are_blocked_the_broker_is_in_trouble,
                a_consumer_outlasts_messages_that_cannot_be_read_for_a_while,
            ],
            rights: [
                making_a_queue_without_the_right_is_refused,
                deleting_a_queue_without_the_right_is_refused,
                subscribing_without_the_right_is_refused,
                publishing_without_the_right_is_refused,
                a_settle_without_the_right_is_refused_and_the_delivery_stays_held,
                a_request_whose_answer_cannot_be_subscribed_to_is_refused,
                subscribing_again_outlasts_a_refusal,
            ],
            durability: [
                what_was_published_is_there_after_a_restart,
                what_was_settled_is_gone_after_a_restart,
                what_was_held_comes_again_after_a_restart,
                request_queues_go_with_the_broker,
                outputs_of_a_settle_are_there_after_a_restart,
                the_order_is_kept_over_a_restart,
                deliveries_are_counted_over_a_restart,
                a_window_bounds_bytes_after_a_restart,
                the_properties_of_a_queue_are_kept_over_a_restart,
                what_was_published_before_a_close_is_there_after_it,
                what_was_settled_before_a_close_is_done_after_it,
                a_close_that_is_cancelled_goes_on,
                a_closed_backend_is_unavailable,
                closing_wakes_consumers_with_unavailable,
                what_a_backend_held_is_free_once_it_is_closed,
            ],
            filling: [
                a_full_queue_is_queue_full_and_nothing_is_sent,
                a_full_queue_of_a_request_topic_misses_what_the_others_get,
                a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full,
                a_settle_never_fails_for_a_full_queue,
                a_settle_into_a_queue_that_drops_drops_its_oldest,
            ],
            refusing: [
                a_refusing_queue_refuses_above_its_bound_and_drops_nothing,
                a_refusing_queue_refuses_to_the_byte,
                an_empty_queue_accepts_a_message_above_its_bound,
                what_one_queue_of_a_topic_refuses_no_other_gets,
                a_settle_into_a_refusing_queue_is_queue_full_and_the_delivery_stays_held,
                a_settle_into_a_refusing_queue_sends_nothing,
                ensuring_changes_a_refusing_bound_for_good,
            ],
            figures: [
                figures_are_right_or_unknown,
                all_figures_are_known,
                stats_of_a_missing_queue_are_queue_not_found,
                messages_dropped_by_a_bound_are_counted,
                requests_that_a_full_queue_misses_are_counted,
                a_refusing_queue_shows_its_bound_and_its_refusals,
                what_was_dropped_lost_and_refused_is_counted_from_the_opening_of_the_backend,
                all_queues_are_listed_in_their_order,
                what_a_broker_cannot_show_is_unsupported,
            ],
            looking: [
                browsing_takes_nothing,
                browsing_goes_on_behind_a_cursor,
                browsing_begins_at_a_cursor_or_behind_it,
                browsing_leaves_out_what_is_in_work,
                browsing_shows_the_beginning_of_each_body_and_its_size,
                a_page_that_sees_the_end_names_the_newest_message,
                every_page_names_the_newest_message,
                a_shown_message_can_be_removed,
                what_is_in_work_or_gone_cannot_be_removed,
                looking_at_a_missing_queue_is_queue_not_found,
                taps_of_a_closed_backend_are_unavailable,
                looking_into_a_closed_backend_is_unavailable,
                a_message_that_cannot_be_read_is_shown_with_the_reason,
                a_look_from_a_cursor_whose_message_is_gone_begins_behind_it_or_at_the_oldest,
                of_two_messages_with_one_id_one_is_removed,
            ],
            redriving: [
                redriving_moves_a_message_into_one_queue,
                redriving_what_is_gone_or_in_work_sends_nothing,
                redriving_without_a_queue_is_queue_not_found_and_the_message_stays,
                redriving_has_the_limits_of_publishing_and_the_message_stays,
                of_several_redrives_of_one_message_one_sends,
                redriving_to_a_full_queue_is_queue_full_and_the_message_stays,
                a_redrive_is_there_after_a_restart,
                redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays,
                a_redrive_that_is_cut_by_a_loss_loses_nothing,
            ],
        }
    };
}

macro_rules! names {
    (() $($area:ident: [$($promise:ident,)*],)*) => { &[$($(stringify!($promise),)*)*] };
}

/// The names of all promises.
pub const PROMISES: &[&str] = for_each_promise!(names!());
