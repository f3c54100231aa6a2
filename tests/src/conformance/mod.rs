//! The promises of [`weir_pubsub::Backend`]: one function for each promise of its contract, run against every broker.
//!
//! A new promise is one function here and its name in [`for_each_promise!`] (a tidy test compares them). A new broker is one [`Broker`],
//! its exceptions in exceptions.rs, and one line in `tests/it/conformance.rs`.
//!
//! Promises are checked by consuming: never by figures or by browsing queues, which not every broker supports, except those about
//! [`weir_pubsub::Inspect`] itself.

pub mod blocking;
mod brokers;
pub mod browsing;
pub mod consuming;
pub mod deleting;
pub mod differences;
pub mod durability;
pub mod exceptions;
pub mod exclusivity;
pub mod figures;
pub mod filling;
mod fixture;
pub mod locks;
pub mod losses;
mod own_nodes;
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

pub use brokers::{Broker, Embedded, Network};
pub use fixture::BrokerFixture;
pub use pulsar::Pulsar;
pub use rabbit::RabbitMq;

/// Calls a macro with the given arguments, followed by the names of all promises, by file.
#[macro_export]
macro_rules! for_each_promise {
    ($with:ident!($($arguments:tt)*)) => {
        $with! {
            ($($arguments)*)
            queues: [
                creating_a_queue_twice_succeeds,
                a_new_queue_receives_no_earlier_messages,
                creating_a_queue_with_other_properties_is_a_mismatch,
                response_and_notify_topics_have_no_queues,
                ensuring_creates_a_missing_queue_and_keeps_an_existing_one,
                ensuring_a_queue_binds_it_to_its_topic_again,
                deleting_a_queue_removes_its_messages,
                deleting_a_missing_queue_succeeds,
                deleting_a_queue_wakes_its_consumers_with_queue_not_found,
                deliveries_of_a_deleted_queue_are_no_longer_held,
                a_queue_exists_from_creation_to_deletion,
                operations_of_one_caller_are_visible_to_the_others,
                a_cancelled_operation_takes_full_effect_or_none,
                a_requeue_completes_after_its_caller_is_gone,
                a_cancelled_deletion_leaves_no_queue_without_a_topic,
                a_bounded_queue_drops_the_oldest,
                a_cancelled_creation_leaves_no_queue_without_a_topic,
                an_empty_drop_oldest_queue_keeps_a_message_above_its_bound,
                a_bound_may_be_the_largest_number_of_the_broker,
            ],
            deleting: [
                an_empty_queue_is_deleted_if_empty,
                a_queue_with_messages_is_kept_and_reported,
                messages_in_flight_keep_a_queue_from_being_deleted,
                expired_requests_do_not_keep_a_queue_from_being_deleted,
                deleting_an_empty_queue_wakes_its_consumers_with_queue_not_found,
                a_message_published_during_a_deletion_is_counted_or_refused,
                messages_of_another_process_during_a_deletion_are_kept_or_refused,
                messages_in_flight_in_another_process_keep_a_queue_from_being_deleted,
                empty_queues_are_deleted_together,
                deleting_several_queues_keeps_and_reports_one_with_messages,
                deleting_several_queues_keeps_those_after_one_with_messages,
                while_one_queue_holds_messages_none_is_deleted,
                a_message_published_while_several_queues_are_deleted_is_counted_or_refused,
                queues_deleted_together_are_gone_together_after_a_restart,
                a_queue_ensured_during_a_deletion_keeps_its_messages,
                deleting_a_queue_ends_the_consumers_of_other_processes,
            ],
            publishing: [
                a_producer_needs_no_queue_yet,
                flow_and_request_messages_without_a_queue_are_queue_not_found,
                response_and_notify_messages_without_a_subscriber_are_dropped_silently,
                every_subscription_of_a_topic_gets_its_copy,
                a_message_without_an_id_gets_one,
                a_given_id_is_kept,
                an_absent_id_stays_absent_on_response_and_notify,
                every_part_of_a_message_arrives,
                messages_of_one_producer_keep_their_order,
                a_body_over_the_limit_is_too_large,
                a_check_refuses_a_message_that_is_too_large_to_publish,
                a_property_name_over_the_limit_is_too_large,
                properties_over_the_limit_are_too_large,
                messages_are_stored_in_the_order_of_their_publishes_whenever_they_are_confirmed,
                publishes_of_several_tasks_are_stored_in_the_order_in_which_they_returned,
                a_message_whose_confirmation_is_dropped_is_stored,
                a_dropped_publish_was_sent_completely_or_not_at_all,
                among_several_publishes_only_the_refused_one_is_not_stored,
                several_publishes_without_a_queue_are_all_refused,
                publishes_wait_while_too_many_are_in_flight,
                a_confirmation_returns_its_outcome_once,
            ],
            consuming: [
                a_consumer_never_creates_a_queue,
                a_queue_name_that_is_too_long_is_refused,
                a_consumer_receives_everything_queued_during_its_absence,
                requests_wait_in_a_queue_of_their_own,
                a_request_can_be_delivered_settled_and_requeued,
                competing_consumers_share_a_queue,
                several_tasks_may_wait_on_one_consumer,
                a_window_limits_the_unsettled_messages,
                a_window_limits_the_unsettled_bytes,
                a_message_larger_than_the_window_is_held_alone,
                a_window_can_be_widened,
                a_changed_window_keeps_its_byte_limit,
                messages_above_a_narrowed_window_stay_held,
                dropping_a_consumer_requeues_its_messages,
                a_requeued_message_precedes_later_messages,
                a_requeued_message_goes_to_any_consumer,
                requeueing_an_unheld_message_does_nothing,
                a_delivery_count_is_exact_or_a_lower_bound,
                deliveries_are_counted_exactly,
                a_message_can_be_waited_for_without_taking_it,
                dropping_a_receive_loses_no_message,
                a_consumer_abandoned_during_its_start_holds_no_message,
                a_window_may_exceed_the_largest_number_of_the_broker,
                with_a_window_of_one_a_requeued_message_comes_first,
            ],
            exclusivity: [
                other_consumers_of_an_exclusive_request_queue_are_refused,
                other_consumers_of_an_exclusive_flow_queue_are_refused,
                a_request_queue_with_consumers_cannot_be_held_exclusively,
                a_flow_queue_with_consumers_cannot_be_held_exclusively,
                an_exclusive_consumer_of_a_request_queue_holds_until_it_is_dropped,
                an_exclusive_consumer_of_a_flow_queue_holds_until_it_is_dropped,
                an_exclusive_consumer_excludes_those_of_other_processes,
                a_changed_window_keeps_the_queue_held_or_ends_its_consumer,
            ],
            locks: [
                a_lock_has_one_holder,
                a_lock_has_one_holder_among_all_processes,
                locks_of_other_names_are_independent,
                a_lock_is_held_until_it_is_dropped,
                a_lock_whose_acquisition_is_cancelled_is_released,
                a_held_lock_is_not_lost,
                a_lost_connection_loses_the_lock,
                a_lost_lock_stays_lost,
                without_a_connection_a_lock_is_unavailable,
                a_lock_can_be_taken_after_a_restart_of_the_broker,
                taking_a_lock_without_permission_is_refused,
                closing_loses_locks,
                the_holder_of_a_lock_is_shown,
                a_lock_is_not_listed_among_the_queues,
            ],
            subscribing: [
                every_subscriber_gets_every_message,
                a_returned_subscription_is_already_bound,
                a_subscriber_receives_only_later_messages,
                a_closed_subscription_leaves_nothing_behind,
                deliveries_to_subscribers_require_no_settling,
                a_slow_subscriber_loses_the_oldest_messages_and_is_notified,
                a_tap_removes_nothing_from_the_consumers,
                a_tap_sees_the_outputs_of_settles,
                a_tap_never_makes_a_missing_queue_look_present,
                a_tap_ends_with_its_reader,
                a_slow_tap_loses_the_oldest_messages_and_is_notified,
                queues_of_subscribers_and_taps_end_with_them,
                the_backlog_of_a_slow_tap_is_bounded_in_bytes,
            ],
            settling: [
                a_settled_message_is_gone,
                a_settle_sends_its_outputs_to_every_queue,
                outputs_keep_their_order_and_ids,
                settles_take_effect_in_the_order_of_the_calls,
                dropping_the_future_of_a_settle_changes_nothing,
                settling_again_is_no_longer_held,
                an_unawaited_settle_that_fails_loses_nothing,
                settling_a_requeued_delivery_is_no_longer_held,
                settling_a_delivery_now_held_by_another_is_no_longer_held,
                a_settle_after_its_consumer_closed_takes_effect_or_the_message_is_redelivered,
                settling_a_message_that_requires_none_does_nothing,
                several_deliveries_are_acknowledged_together,
                an_optional_output_without_a_queue_is_dropped_and_counted,
                a_required_output_without_a_queue_is_queue_not_found_and_the_delivery_stays_held,
                an_output_over_the_limit_is_too_large_and_the_delivery_stays_held,
                repeating_a_failed_settle_sends_each_output_once,
                a_failed_settle_keeps_its_cause,
                outputs_may_go_to_topics_of_every_class,
                a_failed_settle_sends_nothing,
                later_settles_succeed_once_a_failed_one_is_repeated,
                later_settles_are_refused_until_a_failed_one_is_repeated_or_requeued,
                a_settle_pending_when_its_consumer_closes_takes_effect_or_the_message_is_redelivered,
                later_settles_succeed_after_one_that_was_too_large,
                routing_has_no_effect_on_topics_without_queues,
                outputs_without_an_id_get_one,
            ],
            requests: [
                an_expired_request_is_not_delivered,
                an_unexpired_request_is_delivered,
                an_answer_reaches_its_requester,
                an_answer_in_parts_arrives_in_parts,
                without_an_answer_a_request_times_out,
                only_requests_expire,
            ],
            losses: [
                a_lost_connection_ends_consumers_with_unavailable,
                a_lost_connection_ends_taps_with_unavailable,
                an_ended_consumer_stays_ended,
                messages_of_a_lost_consumer_are_redelivered,
                settling_a_delivery_of_a_lost_consumer_is_no_longer_held,
                the_error_of_a_loss_keeps_its_source,
                producers_survive_a_loss,
                a_lost_connection_releases_exclusive_queues,
                a_message_is_republished_until_it_is_confirmed,
                republishing_ends_at_its_time_out_or_a_refusal,
                unconfirmed_messages_of_a_lost_connection_are_stored_or_in_doubt,
                a_settle_interrupted_by_a_lost_connection_loses_nothing,
                operations_are_unavailable_until_the_connection_is_restored,
                an_unreachable_broker_is_reported_until_it_returns,
                pending_requests_fail_on_a_lost_connection_and_later_ones_are_answered,
                request_queues_are_lost_on_a_broker_restart_and_ensured_by_their_owner,
                resubscribing_waits_for_the_broker,
            ],
            partial: [
                consumers_survive_the_loss_of_the_publishing_connection,
                publishing_survives_the_loss_of_the_consuming_connection,
                unanswered_operations_end_within_a_bounded_time,
            ],
            blocking: [
                consuming_and_acknowledging_continue_while_publishers_are_blocked,
                a_publish_waits_while_publishers_are_blocked_and_fails_within_a_bounded_time,
                a_waiting_publish_is_stored_once_publishers_are_unblocked,
                a_settle_with_outputs_while_publishers_are_blocked_keeps_its_delivery,
                blocked_publishers_are_reported,
                a_consumer_survives_temporarily_unreadable_messages,
            ],
            rights: [
                creating_a_queue_without_permission_is_refused,
                deleting_a_queue_without_permission_is_refused,
                subscribing_without_permission_is_refused,
                publishing_without_permission_is_refused,
                a_settle_without_permission_is_refused_and_the_delivery_stays_held,
                a_request_whose_answer_cannot_be_subscribed_to_is_refused,
                resubscribing_survives_a_refusal,
            ],
            durability: [
                published_messages_survive_a_restart,
                settled_messages_stay_gone_after_a_restart,
                held_messages_are_redelivered_after_a_restart,
                request_queues_do_not_survive_the_broker,
                outputs_of_a_settle_survive_a_restart,
                the_order_survives_a_restart,
                delivery_counts_survive_a_restart,
                a_window_limits_bytes_after_a_restart,
                the_properties_of_a_queue_survive_a_restart,
                messages_published_before_a_close_survive_it,
                settles_submitted_before_a_close_take_effect,
                a_cancelled_close_completes,
                a_closed_backend_is_unavailable,
                closing_wakes_consumers_with_unavailable,
                a_closed_backend_releases_everything_it_held,
            ],
            filling: [
                a_full_queue_is_queue_full_and_nothing_is_sent,
                a_full_queue_of_a_request_topic_misses_messages_of_the_others,
                a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full,
                a_settle_never_fails_for_a_full_queue,
                a_settle_into_a_drop_oldest_queue_drops_the_oldest,
            ],
            refusing: [
                a_refusing_queue_refuses_above_its_bound_and_drops_nothing,
                a_refusing_queue_refuses_exactly_at_its_bound,
                an_empty_queue_accepts_a_message_above_its_bound,
                a_message_refused_by_one_queue_of_a_topic_reaches_no_other,
                a_settle_into_a_refusing_queue_is_queue_full_and_the_delivery_stays_held,
                a_settle_into_a_refusing_queue_sends_nothing,
                ensuring_changes_a_refusing_bound_permanently,
            ],
            figures: [
                figures_are_right_or_unknown,
                all_figures_are_known,
                stats_of_a_missing_queue_are_queue_not_found,
                messages_dropped_by_a_bound_are_counted,
                requests_missed_by_a_full_queue_are_counted,
                a_refusing_queue_shows_its_bound_and_its_refusals,
                what_was_dropped_lost_and_refused_is_counted_from_the_opening_of_the_backend,
                all_queues_are_listed_in_their_order,
                figures_that_a_broker_cannot_show_are_unsupported,
            ],
            browsing: [
                browsing_removes_nothing,
                browsing_continues_after_a_cursor,
                browsing_begins_at_a_cursor_or_after_it,
                browsing_omits_messages_in_flight,
                browsing_shows_the_beginning_of_each_body_and_its_size,
                the_last_page_names_the_newest_message,
                every_page_names_the_newest_message,
                a_shown_message_can_be_removed,
                messages_in_flight_or_gone_cannot_be_removed,
                browsing_a_missing_queue_is_queue_not_found,
                taps_of_a_closed_backend_are_unavailable,
                browsing_a_closed_backend_is_unavailable,
                an_unreadable_message_is_shown_with_the_reason,
                browsing_from_a_removed_message_begins_after_it_or_at_the_oldest,
                only_one_of_two_messages_with_the_same_id_is_removed,
            ],
            redriving: [
                redriving_moves_a_message_into_one_queue,
                redriving_a_message_in_flight_or_gone_sends_nothing,
                redriving_without_a_queue_is_queue_not_found_and_the_message_stays,
                redriving_applies_the_publishing_limits_and_keeps_the_message,
                only_one_of_several_redrives_of_a_message_sends,
                redriving_to_a_full_queue_is_queue_full_and_the_message_stays,
                a_redrive_survives_a_restart,
                redriving_to_a_refusing_queue_is_queue_full_and_the_message_stays,
                a_redrive_interrupted_by_a_lost_connection_loses_nothing,
            ],
        }
    };
}

macro_rules! names {
    (() $($area:ident: [$($promise:ident,)*],)*) => { &[$($(stringify!($promise),)*)*] };
}

/// The names of all promises.
pub const PROMISES: &[&str] = for_each_promise!(names!());
