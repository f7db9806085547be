//! The behaviours of the facade, each over every transport.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stderr, reason = "a test that measures says what")]
#![cfg_attr(
    not(all(feature = "quic", feature = "tcp")),
    allow(
        dead_code,
        unreachable_code,
        unreachable_patterns,
        unused_imports,
        unused_macros,
        unused_variables,
        reason = "what only tests over the other transport use"
    )
)]

mod api {
    pub(crate) mod addresses;
    pub(crate) mod answers;
    pub(crate) mod asking;
    pub(crate) mod authentication;
    pub(crate) mod backpressure;
    pub(crate) mod cancellation;
    pub(crate) mod certificates;
    pub(crate) mod client_certificates;
    pub(crate) mod closing;
    pub(crate) mod corked;
    pub(crate) mod counting;
    pub(crate) mod credit;
    pub(crate) mod crowd;
    pub(crate) mod draining;
    pub(crate) mod echo;
    pub(crate) mod events;
    pub(crate) mod giving_up;
    #[cfg(feature = "tcp")]
    pub(crate) mod gone;
    pub(crate) mod handshakes;
    pub(crate) mod harness;
    pub(crate) mod installing;
    pub(crate) mod key_log;
    #[cfg(feature = "tcp")]
    pub(crate) mod large_bodies;
    #[cfg(target_os = "linux")]
    pub(crate) mod lending;
    pub(crate) mod liveness;
    pub(crate) mod looking;
    #[cfg(all(feature = "quic", feature = "tcp"))]
    pub(crate) mod migration;
    #[cfg(all(feature = "quic", feature = "tcp"))]
    pub(crate) mod netns;
    #[cfg(feature = "tcp")]
    pub(crate) mod other_peers;
    pub(crate) mod pitfalls;
    pub(crate) mod probing;
    #[cfg(feature = "quic")]
    pub(crate) mod qlog;
    #[cfg(feature = "quic")]
    pub(crate) mod quic_peer;
    #[cfg(feature = "quic")]
    pub(crate) mod quic_streams;
    pub(crate) mod refusals;
    pub(crate) mod relay;
    pub(crate) mod reload;
    pub(crate) mod rules;
    pub(crate) mod rules_of_frames;
    #[cfg(all(feature = "quic", feature = "tcp"))]
    pub(crate) mod rules_of_migration;
    pub(crate) mod rules_of_servers;
    pub(crate) mod rules_of_time;
    pub(crate) mod streams;
    pub(crate) mod unread;
    pub(crate) mod verification;
}

/// Runs each behaviour over memory, plain TCP, TCP with TLS, and QUIC; one that hangs fails.
macro_rules! over_every_transport {
    ($($module:ident :: $name:ident),* $(,)?) => {
        over_every_transport!(@on memory Memory $($module::$name)*);
        over_every_transport!(@on tcp Tcp $($module::$name)*);
        over_every_transport!(@on tls Tls $($module::$name)*);
        over_every_transport!(@on quic Quic $($module::$name)*);
    };
    // A test over a transport whose feature is off is no test.
    (@on $transport:ident Tcp $($rest:tt)*) => {
        #[cfg(feature = "tcp")]
        over_every_transport!(@now $transport Tcp $($rest)*);
    };
    (@on $transport:ident Tls $($rest:tt)*) => {
        #[cfg(feature = "tcp")]
        over_every_transport!(@now $transport Tls $($rest)*);
    };
    (@on $transport:ident Quic $($rest:tt)*) => {
        #[cfg(feature = "quic")]
        over_every_transport!(@now $transport Quic $($rest)*);
    };
    (@on $transport:ident Memory $($rest:tt)*) => {
        over_every_transport!(@now $transport Memory $($rest)*);
    };
    (@now $transport:ident $kind:ident $($module:ident :: $name:ident)*) => {
        mod $transport {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    use crate::api::harness::{Kind, within_a_minute};
                    within_a_minute(crate::api::$module::$name(Kind::$kind)).await;
                }
            )*
        }
    };
}

#[cfg(target_os = "linux")]
mod lent {
    over_every_transport! {
        lending::a_loop_with_time_reads_frames,
        lending::a_loop_reads_bodies_whole,
        lending::a_loop_without_time_costs_nothing,
        lending::idle_sockets_go_back,
        lending::a_loop_that_goes_gives_its_sockets_back,
        lending::large_bodies_are_read_by_the_runtime,
        lending::a_write_that_has_to_wait_takes_the_socket_back,
        lending::the_end_is_seen_on_a_lent_socket,
    }
}

over_every_transport! {
    handshakes::hellos_that_break_a_rule_are_refused_with_its_code,
    handshakes::forcing_the_other_transport_is_refused,
    handshakes::the_application_refuses_with_the_code_it_likes,
    handshakes::both_sides_see_what_was_agreed,
    handshakes::an_acknowledgement_with_another_auth_status_is_a_refusal,
    probing::a_server_is_measured_before_any_hello,
    probing::a_server_that_does_not_answer_has_failed_samples,
    echo::a_frame_comes_back,
    echo::results_come_back_in_any_order,
    echo::parts_of_one_frame_keep_their_order,
    echo::small_frames_are_delivered_in_the_order_they_were_sent,
    echo::bodies_of_megabytes_arrive_whole_and_aligned,
    echo::megabytes_go_both_ways_at_once,
    echo::frames_of_changing_sizes_arrive_whole_and_aligned,
    echo::a_received_tile_is_a_view_of_the_one_body,
    echo::a_result_without_tile_ids_covers_the_tiles_asked_for,
    echo::a_frame_without_any_payload_is_a_frame,
    counting::both_ends_say_over_what_they_talk,
    events::a_client_hears_what_happens_in_its_order,
    events::a_server_hears_cancels_expiries_and_patches,
    events::a_refused_packet_is_an_event,
    events::who_falls_behind_hears_how_much_was_missed,
    events::who_listens_too_late_hears_the_end,
    refusals::a_drop_carries_its_reason,
    refusals::a_frame_nobody_answers_is_dropped,
    refusals::a_refused_frame_costs_itself_only,
    refusals::a_body_beyond_the_limit_is_refused_unread,
    cancellation::a_dropped_receive_loses_nothing,
    cancellation::receivers_are_served_first_come_first_served,
    cancellation::a_cancelled_frame_reaches_the_server,
    liveness::pings_are_answered_while_the_application_sleeps,
    liveness::hints_and_flow_updates_reach_their_subscribers,
    backpressure::frames_nobody_reads_hold_the_client_back_and_are_not_lost,
    backpressure::a_server_that_does_not_read_results_is_not_stuck,
    looking::a_look_finds_what_has_arrived_and_the_end,
    closing::what_was_sent_before_the_close_arrives,
    closing::every_result_sent_before_the_close_arrives,
    closing::a_server_that_closes_ends_every_wait,
    closing::losing_the_client_ends_the_session,
    closing::a_server_closes_though_it_owes_more_drops_than_may_wait,
    corked::what_is_corked_arrives_in_order_though_the_cork_stays,
    corked::what_is_corked_leaves_when_the_cork_is_out,
    corked::more_than_one_write_takes_leaves_when_the_cork_is_out,
    corked::a_flush_does_not_wait_for_the_cork,
    corked::a_ping_is_answered_although_a_cork_stays,
    closing::closing_after_the_peer_has_gone_takes_no_time,
    rules::a_first_packet_that_breaks_a_rule_ends_the_connection,
    rules::a_message_that_breaks_a_rule_costs_itself_only,
    rules::what_changes_nothing_is_not_answered,
    rules::a_patch_that_breaks_a_rule_is_refused_by_its_acknowledgement,
    rules::an_object_that_cannot_be_kept_is_refused_by_its_acknowledgement,
    rules::a_namespace_beyond_those_that_were_announced_is_used,
    rules::probes_are_answered_in_a_session_up_to_their_limit,
    rules::a_control_message_beyond_its_limit_ends_the_connection,
    answers::a_wait_ends_with_the_result,
    answers::a_wait_ends_with_a_drop_that_says_why,
    answers::a_wait_ends_when_the_frame_expires,
    answers::late_answers_cost_nothing,
    answers::a_wait_ends_when_the_frame_is_cancelled,
    answers::a_wait_ends_when_the_server_closes,
    answers::a_wait_ends_when_the_server_is_lost,
    answers::a_wait_ends_when_the_client_closes,
    answers::a_frame_that_expired_before_anybody_took_it_is_not_handed_out,
    answers::a_cancel_right_behind_its_submit_is_not_lost,
    credit::one_task_may_submit_more_than_the_credit_and_read_later,
    credit::a_server_that_collects_frames_first_is_not_waited_for_in_vain,
    credit::a_granted_number_holds_back_until_there_is_room,
    credit::a_wait_that_is_cancelled_submits_nothing,
    credit::submits_that_wait_go_out_in_turn,
    credit::a_pause_ends_with_the_next_update_or_its_own_time,
    credit::background_frames_overtake_those_that_have_to_wait,
    credit::nothing_waits_where_that_was_asked_for,
    credit::a_submit_that_waits_ends_with_the_session,
    credit::an_enforced_credit_is_honoured_without_a_loss,
    credit::an_enforced_credit_drops_what_is_too_much,
    pitfalls::one_a_busy_application_never_costs_the_connection,
    pitfalls::two_no_frame_is_left_without_an_answer,
    pitfalls::three_the_number_of_frames_is_soft_and_one_argument_away_from_a_bound,
    rules_of_servers::an_answer_that_breaks_a_rule_is_no_session,
    rules_of_servers::a_model_name_that_is_not_utf_8_is_read_with_replacements,
    rules_of_servers::the_text_of_an_error_is_what_there_is_of_it,
    rules_of_servers::an_error_of_an_unknown_scope_ends_the_session,
    rules_of_servers::what_is_about_nothing_does_no_harm,
    rules_of_servers::results_nobody_expects_like_that_are_delivered,
    rules_of_servers::an_older_flow_update_is_not_told,
    rules_of_servers::an_acknowledgement_without_credit_is_a_session,
    rules_of_servers::a_second_drop_says_nothing_new,
    rules_of_servers::a_result_of_a_kind_that_was_not_declared_is_delivered,
    rules_of_servers::a_result_that_refers_to_what_is_not_there_fails_its_frame_only,
    rules_of_servers::a_probe_that_is_answered_with_a_body_has_failed,
    rules_of_servers::an_acknowledged_patch_that_contradicts_itself_is_read,
    rules_of_time::what_a_client_does_not_take_is_not_sent,
    rules_of_time::a_frame_of_a_lane_that_was_not_agreed_is_taken,
    rules_of_time::a_session_that_closes_takes_nothing_new_and_does_not_wait_for_ever,
    rules_of_time::a_reason_that_is_too_long_is_cut,
    rules_of_time::a_hundred_pings_a_second_are_answered,
    rules_of_frames::a_model_name_that_is_too_long_is_cut,
    rules_of_frames::a_live_id_may_be_used_again_unless_ids_are_strict,
    rules_of_frames::a_result_beyond_the_policy_of_its_frame_is_delivered_and_marked,
    rules_of_frames::a_frame_left_partial_gives_its_credit_back,
    rules_of_frames::a_keyframe_is_never_sent_and_forgotten,
    rules_of_frames::results_nobody_takes_hold_the_server_back_and_are_not_lost,
    streams::streams_and_sinks_carry_what_the_methods_do,
    streams::a_dropped_stream_loses_nothing,
    streams::the_stream_of_frames_says_how_the_session_ended,
    streams::an_answer_in_parts_ends_with_its_last,
    streams::a_last_part_may_be_partial_or_a_drop,
    streams::leaving_an_answer_early_cancels_its_frame,
    streams::an_answer_ends_with_its_session,
    streams::cancels_are_heard_by_who_listens,
    giving_up::waits_of_a_server_that_were_given_up_lose_nothing,
    giving_up::waits_of_a_client_that_were_given_up_lose_nothing,
    giving_up::a_frame_that_was_given_up_is_sent_whole_or_not,
    giving_up::answers_that_were_given_up_are_sent_whole_or_not,
    giving_up::what_a_client_asks_and_gives_up_harms_nobody,
    giving_up::a_close_that_was_given_up_goes_on,
    asking::a_patch_says_what_is_in_force_on_both_sides,
    asking::a_patch_that_was_given_up_does_not_answer_the_next,
    asking::answers_without_a_number_are_counted,
    asking::a_server_that_never_answers_is_given_up,
    asking::an_object_is_kept_and_referred_to,
    asking::objects_are_forgotten_by_kind_namespace_or_all,
    asking::an_object_that_is_too_large_is_rejected,
    asking::an_object_that_was_given_up_does_not_answer_the_next,
    installing::a_result_refers_to_what_its_client_keeps,
    installing::a_client_that_offered_no_room_keeps_nothing,
    installing::what_was_given_up_does_not_answer_the_next,
}

/// Behaviours of listeners: there is none in memory.
macro_rules! over_networks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        over_every_transport!(@on tcp_listener Tcp $($module::$name)*);
        over_every_transport!(@on tls_listener Tls $($module::$name)*);
        over_every_transport!(@on quic_listener Quic $($module::$name)*);
    };
}

over_networks! {
    crowd::a_silent_crowd_delays_nobody,
    giving_up::an_accept_that_was_given_up_loses_no_client,
    counting::a_listener_counts_its_sessions_and_their_traffic_when_they_are_gone_too,
    counting::clients_are_counted_by_why_they_were_refused,
    counting::every_client_is_counted_once,
    pitfalls::four_deciding_about_a_client_may_take_its_time,
    authentication::a_busy_server_says_when_to_try_again,
    authentication::beyond_the_limit_clients_are_told_to_come_back,
    authentication::a_session_lasts_as_long_as_its_authentication,
    authentication::functions_that_block_delay_nobody,
    authentication::who_sent_no_auth_block_is_told_so,
    authentication::a_decision_that_panics_refuses,
    authentication::the_decision_takes_of_the_clients_time,
    authentication::a_session_decided_about_is_not_lost_with_its_accept,
    refusals::a_refused_client_is_told_and_the_next_one_is_served,
    refusals::a_client_the_library_refuses_always_learns_why,
    refusals::a_silent_client_delays_nobody,
    refusals::a_slow_decision_delays_nobody,
    closing::a_closed_listener_leaves_sessions_alone,
    closing::a_client_caught_in_its_handshake_by_the_end_of_the_listener_is_turned_away,
    closing::a_silent_client_does_not_keep_its_socket,
    draining::every_frame_submitted_while_the_server_goes_away_has_an_answer,
    draining::a_client_that_comes_while_the_server_goes_away_is_told_so,
    draining::a_listener_without_sessions_stays_to_say_why_while_another_one_has_some,
    draining::all_listeners_begin_to_go_away_at_once,
    draining::what_is_not_answered_by_the_deadline_is_dropped,
    draining::one_session_can_be_drained_alone,
    unread::what_is_offered_to_one_client_bounds_what_waits_of_it,
    streams::sessions_come_as_a_stream_until_the_listener_closes,
}

/// Behaviours of TLS, over both bindings that have it.
macro_rules! over_tls {
    ($($module:ident :: $name:ident),* $(,)?) => {
        over_every_transport!(@on tls_on_tcp Tls $($module::$name)*);
        over_every_transport!(@on tls_on_quic Quic $($module::$name)*);
    };
}

over_tls! {
    verification::a_certificate_of_a_trusted_authority_is_believed,
    verification::a_certificate_of_a_stranger_is_refused,
    verification::a_certificate_for_another_name_is_refused,
    verification::an_expired_certificate_is_refused_named_or_not,
    verification::a_certificate_of_tomorrow_is_refused,
    verification::a_self_signed_authority_that_is_named_is_believed,
    verification::naming_a_certificate_believes_no_server_it_signs,
    verification::whoever_accepts_anyone_accepts_anyone,
    verification::without_a_common_alpn_there_is_no_connection,
    client_certificates::both_ends_read_the_other_ones_certificate,
    client_certificates::the_authentication_reads_the_certificate,
    client_certificates::a_client_without_the_required_certificate_learns_why,
    client_certificates::a_client_certificate_of_a_stranger_is_refused,
    client_certificates::an_expired_client_certificate_is_refused,
    client_certificates::a_requested_certificate_may_be_missing,
    client_certificates::a_self_signed_client_certificate_that_is_named_is_believed,
    client_certificates::naming_a_certificate_believes_nobody_it_signs,
    client_certificates::a_named_certificate_that_has_expired_is_refused,
    reload::the_next_handshake_sees_the_new_certificate_and_sessions_live_on,
    reload::a_bad_certificate_leaves_the_old_one_in_use,
    reload::whose_clients_are_believed_is_reloaded_too,
    addresses::an_address_with_tls_is_connected_and_verified,
    key_log::both_sides_write_the_same_secrets,
}

/// Behaviours of one binding.
macro_rules! on_one_transport {
    ($($(#[$cfg:meta])* $module:ident :: $name:ident),* $(,)?) => {$(
        $(#[$cfg])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            crate::api::harness::within_a_minute(crate::api::$module::$name()).await;
        }
    )*};
}

#[cfg(feature = "tcp")]
mod tls_streams {
    on_one_transport! {
        other_peers::a_plain_client_is_told_to_use_tls,
        other_peers::a_tls_client_of_a_plain_listener_is_told,
        other_peers::a_few_bytes_that_are_no_packet_are_refused_before_there_is_a_header,
        other_peers::a_server_that_answers_in_few_other_bytes_is_no_server,
        other_peers::a_client_without_alpn_fails_in_its_handshake,
        other_peers::an_alert_is_not_destroyed_by_a_reset,
        other_peers::a_server_without_alpn_is_not_believed,
        other_peers::a_client_of_tls_1_2_is_refused,
        other_peers::a_stream_that_is_cut_off_is_a_lost_connection,
        other_peers::a_peer_that_does_not_shake_hands_is_given_up,
        addresses::an_address_without_tls_is_plain,
        #[cfg(feature = "quic")]
        addresses::tls_is_never_given_up_for_a_plain_listener,
        key_log::a_key_log_is_for_its_owner_alone,
        gone::a_client_that_resets_is_noticed_although_nobody_reads,
        gone::a_client_that_closes_is_let_go_after_the_idle_timeout_although_nobody_reads,
        gone::a_client_that_has_closed_its_half_is_read_to_the_end,
        large_bodies::a_small_frame_behind_a_large_one_waits_for_nothing,
        large_bodies::a_peer_that_pauses_within_a_large_body_is_read_to_its_end,
        large_bodies::a_peer_that_sends_a_large_body_slowly_is_not_silent,
        large_bodies::a_peer_that_stops_within_a_large_body_is_noticed,
        large_bodies::a_peer_that_leaves_within_a_large_body_is_noticed,
    }
}

#[cfg(feature = "quic")]
mod quic_streams {
    on_one_transport! {
        qlog::what_quic_does_is_written_or_refused,
        quic_streams::a_frame_on_the_control_stream_is_refused,
        quic_streams::results_on_the_control_stream_are_results,
        quic_streams::control_messages_on_streams_of_frames_are_what_they_are,
        quic_streams::a_stream_that_ends_inside_a_header_ends_the_connection,
        quic_streams::a_stream_that_ends_inside_a_body_costs_its_frame,
        quic_streams::a_frame_that_is_withdrawn_never_was,
        quic_streams::without_its_control_stream_a_session_is_lost,
        quic_streams::a_second_control_stream_is_refused,
        quic_streams::every_packet_of_a_stream_is_taken,
        quic_streams::datagrams_are_one_small_packet_or_nothing,
        quic_streams::a_result_that_others_wait_for_needs_no_room_that_they_take,
        backpressure::large_frames_nobody_reads_do_not_cost_the_connection,
        unread::a_client_nobody_has_admitted_may_send_a_hello_and_no_frame,
    }
}

/// Requests to move a session, by who has no library.
#[cfg(all(feature = "quic", feature = "tcp"))]
mod moving_by_hand {
    over_networks! {
        rules_of_migration::a_request_that_contradicts_itself_is_refused,
        rules_of_migration::frames_that_come_too_late_or_again_are_refused,
        rules_of_migration::an_answer_about_something_else_moves_nothing,
    }
}

/// Sessions that move between TCP and QUIC, beginning on either.
#[cfg(all(feature = "quic", feature = "tcp"))]
mod moving {
    over_every_transport!(@on tcp Tcp migration::a_session_moves_there_and_back_while_it_works migration::nothing_is_lost_when_the_line_is_cut migration::who_waits_goes_on_waiting migration::the_path_it_left_closes_and_the_session_does_not migration::a_stranger_who_knows_the_id_gets_nothing migration::another_client_of_the_server_is_a_stranger_too migration::the_right_token_with_another_certificate_moves_nothing migration::switched_off_the_right_token_moves_nothing migration::a_client_without_a_token_stays_where_it_is migration::a_session_that_is_over_cannot_be_moved migration::racing_for_a_session_leaves_it_with_one migration::sessions_that_may_move_have_ids_of_their_own migration::an_impatient_newcomer_harms_nobody_but_itself);
    over_every_transport!(@on quic Quic migration::a_session_moves_there_and_back_while_it_works migration::nothing_is_lost_when_the_line_is_cut migration::who_waits_goes_on_waiting migration::the_path_it_left_closes_and_the_session_does_not migration::a_stranger_who_knows_the_id_gets_nothing migration::another_client_of_the_server_is_a_stranger_too migration::the_right_token_with_another_certificate_moves_nothing migration::switched_off_the_right_token_moves_nothing migration::a_client_without_a_token_stays_where_it_is migration::a_session_that_is_over_cannot_be_moved migration::racing_for_a_session_leaves_it_with_one migration::sessions_that_may_move_have_ids_of_their_own migration::an_impatient_newcomer_harms_nobody_but_itself);
}

#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn netns() {
    api::harness::within_a_minute(api::netns::a_session_outlives_its_links()).await;
}

/// The other half of [`netns`], in a process of its own. Alone it does nothing.
#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn netns_client() {
    api::harness::within_a_minute(api::netns::client()).await;
}

#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_the_path_a_session_left_waits_for_its_answers() {
    api::harness::within_a_minute(api::migration::a_flood_on_the_path_it_left_waits_for_its_answers()).await;
}

#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_a_session_left_is_read_for_so_long_and_so_much() {
    api::harness::within_a_minute(api::migration::a_path_it_left_is_read_for_so_long_and_so_much()).await;
}

#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_session_does_not_move_to_plain_tcp() {
    api::harness::within_a_minute(api::migration::an_encrypted_session_does_not_move_to_plain_tcp()).await;
}

#[cfg(all(feature = "quic", feature = "tcp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_migration_takes_its_place_until_its_client_has_gone() {
    api::harness::within_a_minute(
        api::migration::a_refused_migration_takes_its_place_until_its_client_has_gone(),
    )
    .await;
}
