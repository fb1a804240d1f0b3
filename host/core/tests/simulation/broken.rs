//! Worlds with one deliberate defect each: the checker must notice it.

use crate::checker::Violation;
use crate::scene::{Broken, Scene};
use crate::world;

/// Runs a seed in one kind of world.
type Run = fn(u64, Option<Broken>) -> (Scene, Result<(), Violation>);

/// Number of seeds within which a defect must be noticed.
const SEEDS: u64 = 5_000;

#[test]
fn invariant_1_an_offset_stored_beyond_the_window_is_noticed() {
    noticed(Broken::OffsetBeyondWindow, &[1]);
}

#[test]
fn invariant_2_events_committed_apart_from_the_state_are_noticed() {
    noticed(Broken::OutboxApart, &[2]);
}

#[test]
fn invariant_2_a_timer_that_outlives_its_turn_is_noticed() {
    noticed(Broken::TimerNotConsumed, &[2, 3]);
}

#[test]
fn invariant_2_a_timer_that_is_lost_at_a_crash_is_noticed() {
    noticed(Broken::TimersLost, &[2]);
}

#[test]
fn a_compensation_that_is_forgotten_is_noticed() {
    noticed(Broken::ReleaseForgotten, &[0]);
}

#[test]
fn a_compensation_that_is_made_twice_is_noticed() {
    noticed(Broken::ReleasedTwice, &[0]);
}

#[test]
fn invariant_3_an_inbox_that_is_not_consulted_is_noticed() {
    noticed(Broken::InboxNotConsulted, &[3]);
}

#[test]
fn a_saga_that_is_not_kept_with_its_aggregate_is_noticed() {
    noticed(Broken::SagaForgotten, &[2]);
}

#[test]
fn invariant_3_a_dead_letter_that_is_tried_again_is_noticed() {
    noticed(Broken::DeadLetterForgotten, &[3]);
}

#[test]
fn invariant_4_a_key_that_is_not_held_back_is_noticed() {
    noticed(Broken::KeyNotHeldBack, &[4]);
}

#[test]
fn invariant_4_a_message_that_overtakes_what_is_parked_is_noticed() {
    noticed(Broken::ParkedOvertaken, &[4]);
}

#[test]
fn invariant_10_a_number_of_a_parked_message_that_is_given_twice_is_noticed() {
    noticed_as(Broken::ParkedNumberReused, &[10], "nobody offers it");
}

#[test]
fn invariant_10_a_parked_timer_that_is_decided_before_what_did_not_come_to_be_is_noticed() {
    noticed_as(Broken::ParkedTimerGoesOn, &[10], "nobody offers it");
}

#[test]
fn invariant_3_a_parked_event_that_is_not_remembered_is_noticed() {
    noticed(Broken::ParkedNotRemembered, &[2, 3]);
}

#[test]
fn invariant_4_a_dead_letter_that_is_forgotten_at_a_start_is_noticed() {
    noticed_as(Broken::BlockForgotten, &[4], "blocks");
}

#[test]
fn invariant_2_a_dead_letter_that_stays_open_is_noticed() {
    noticed_as(Broken::LetterNotEnded, &[2], "is open, but not parked");
}

#[test]
fn invariant_10_a_request_that_is_lost_while_another_is_tried_is_noticed() {
    noticed_as(Broken::NewerRequestLost, &[10], "was to be discarded");
}

#[test]
fn invariant_8_a_dead_letter_that_is_redriven_again_and_again_is_noticed() {
    noticed_as(Broken::RedriveLooped, &[8], "does not come to rest");
}

#[test]
fn invariant_4_a_reading_that_goes_on_past_a_record_that_was_not_written_is_noticed() {
    noticed(Broken::ReadingOutlivesVoid, &[4]);
}

#[test]
fn invariant_4_a_reading_that_goes_on_under_other_subscriptions_is_noticed() {
    noticed(Broken::ReadingOutlivesSwap, &[4]);
}

#[test]
fn invariant_5_a_fault_taken_for_a_refusal_is_noticed() {
    noticed(Broken::RefusalOnFault, &[5]);
}

#[test]
fn invariant_6_a_digest_of_another_build_is_noticed() {
    noticed(Broken::BuildOfTheCommit, &[6]);
}

#[test]
fn invariant_6_a_build_that_decides_before_it_is_active_is_noticed() {
    noticed_as(Broken::HandedBeforeActivation, &[6], "was not active then");
}

#[test]
fn invariant_6_an_active_build_without_a_copy_is_noticed() {
    noticed(Broken::CopiedAfterActivation, &[6]);
}

#[test]
fn invariant_6_a_start_with_another_build_than_the_active_one_is_noticed() {
    noticed(Broken::StartsWithFile, &[6]);
}

#[test]
fn invariants_6_and_10_an_activation_that_a_crash_takes_back_is_noticed() {
    noticed(Broken::ActivationNotWritten, &[6, 10]);
}

#[test]
fn invariant_6_a_worker_that_two_swaps_passed_by_is_noticed() {
    noticed(Broken::SwapNotAwaited, &[6]);
}

#[test]
fn invariant_6_a_turn_on_two_builds_is_noticed() {
    noticed(Broken::SwitchedWithinTurn, &[6]);
}

#[test]
fn invariant_6_a_state_that_comes_to_be_behind_the_back_of_a_rollback_is_noticed() {
    noticed(Broken::WorkersNotHeld, &[6]);
}

#[test]
fn invariant_6_a_state_that_was_not_yet_stored_when_states_were_checked_is_noticed() {
    noticed(Broken::StatesCheckedBefore, &[6]);
}

#[test]
fn invariant_5_what_was_admitted_by_another_description_is_noticed() {
    noticed(Broken::AdmissionNotCompared, &[5]);
}

#[test]
fn invariant_2_a_migrated_state_that_is_not_written_is_noticed() {
    noticed(Broken::MigrationNotWritten, &[2]);
}

#[test]
fn invariant_10_an_answer_before_the_commit_is_noticed() {
    noticed(Broken::AnswerBeforeCommit, &[10]);
}

#[test]
fn invariant_10_decisions_on_an_entry_that_was_not_written_are_noticed() {
    noticed(Broken::VoidChainWritten, &[4, 10]);
}

#[test]
fn invariant_10_a_worker_that_goes_on_from_a_state_that_was_not_written_is_noticed() {
    noticed(Broken::VoidStateKept, &[10]);
}

#[test]
fn invariant_10_an_event_whose_entry_broke_and_that_is_taken_for_applied_is_noticed() {
    noticed(Broken::VoidIdentityKept, &[1, 10]);
}

#[test]
fn invariant_10_workers_that_are_told_before_the_commit_are_noticed() {
    noticed(Broken::ToldBeforeCommit, &[10]);
}

#[test]
fn invariant_10_a_commit_that_happened_and_is_taken_for_failed_is_noticed() {
    noticed(Broken::UnknownTakenForFailed, &[10]);
}

#[test]
fn invariant_10_a_commit_that_did_not_happen_and_is_taken_for_a_good_one_is_noticed() {
    noticed(Broken::UnknownTakenForCommitted, &[10]);
}

#[test]
fn invariant_10_a_written_command_that_is_told_it_failed_is_noticed() {
    noticed(Broken::WrittenToldVoid, &[10]);
}

#[test]
fn invariant_10_a_key_that_is_given_out_twice_is_noticed() {
    noticed(Broken::KeysForgotten, &[10]);
}

#[test]
fn invariant_10_a_shared_store_that_does_not_compare_revisions_is_noticed() {
    noticed_among_hosts(Broken::RevisionNotCompared, &[10]);
}

#[test]
fn invariant_1_a_shared_store_that_does_not_compare_epochs_is_noticed() {
    noticed_among_hosts(Broken::EpochNotCompared, &[1, 3, 4]);
}

#[test]
fn invariant_3_a_shared_store_that_does_not_count_timers_is_noticed() {
    noticed_among_hosts(Broken::TimerNotCounted, &[2, 3, 10]);
}

#[test]
fn invariant_3_a_shared_store_that_takes_an_event_from_two_hosts_is_noticed() {
    noticed_among_hosts(Broken::InboxNotCompared, &[3]);
}

#[test]
fn invariant_10_a_shared_store_that_takes_a_second_reply_is_noticed() {
    noticed_among_hosts(Broken::ReplyNotCompared, &[10]);
}

#[test]
fn invariant_10_a_shared_store_that_takes_anything_of_an_evicted_host_is_noticed() {
    noticed_among_hosts(Broken::IncarnationNotCompared, &[10]);
}

#[test]
fn invariant_4_a_shared_store_that_takes_what_overtakes_parked_messages_is_noticed() {
    noticed_among_hosts(Broken::ParkedNotCompared, &[4]);
}

#[test]
fn invariant_6_a_shared_store_that_takes_decisions_of_replaced_rules_is_noticed() {
    noticed_among_hosts(Broken::RulesNotCompared, &[6]);
}

#[test]
fn invariant_6_an_activation_in_place_of_another_build_than_was_compared_is_noticed() {
    noticed_among_hosts(Broken::ActivationNotCompared, &[6]);
}

#[test]
fn invariant_8_a_transaction_that_goes_on_while_its_host_is_asleep_is_noticed() {
    noticed_as_among_hosts(Broken::LocksKept, &[8], "asleep");
}

#[test]
fn invariant_10_a_host_that_does_not_await_the_end_of_its_call_is_noticed() {
    noticed_among_hosts(Broken::OutcomeNotAwaited, &[10]);
}

#[test]
fn invariant_10_an_outcome_that_is_taken_for_a_failure_is_noticed_among_hosts() {
    noticed_among_hosts(Broken::UnknownTakenForFailed, &[10]);
}

#[test]
fn invariant_1_an_offset_that_is_taken_anew_when_a_part_is_written_again_is_noticed() {
    noticed_among_hosts(Broken::OffsetTakenAnew, &[1]);
}

#[test]
fn invariant_10_a_host_that_reads_from_what_is_in_flight_is_noticed() {
    noticed_as_among_hosts(Broken::FlightTrusted, &[10], "older than");
}

#[test]
fn invariant_10_a_host_that_reads_from_memory_is_noticed() {
    noticed_as_among_hosts(Broken::MemoryTrusted, &[10], "older than");
}

/// In a world with this defect, some seed reports a violation of one of these invariants.
fn noticed(broken: Broken, invariants: &[u32]) {
    noticed_as(broken, invariants, "");
}

/// The same, with this text.
fn noticed_as(broken: Broken, invariants: &[u32], words: &str) {
    noticed_in(world::run, broken, invariants, words);
}

/// The same, in a world with several hosts on each store.
fn noticed_among_hosts(broken: Broken, invariants: &[u32]) {
    noticed_as_among_hosts(broken, invariants, "");
}

/// The same, with this text.
fn noticed_as_among_hosts(broken: Broken, invariants: &[u32], words: &str) {
    noticed_in(world::run_shared, broken, invariants, words);
}

/// The same, in this kind of world.
fn noticed_in(world: Run, broken: Broken, invariants: &[u32], words: &str) {
    let mut reported = Vec::new();
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| world(seed, Some(broken)).1);
        match run.unwrap_or_else(|_| panic!("seed {seed} with {broken:?} panicked")) {
            Err(violation)
                if invariants.contains(&violation.invariant) && violation.what.contains(words) =>
            {
                println!("{broken:?}: seed {seed}, {violation}");
                return;
            }
            Err(violation) => reported.push(violation),
            Ok(()) => {}
        }
    }
    reported.truncate(3);
    panic!(
        "{broken:?} was not noticed as {invariants:?} in {SEEDS} seeds; reported was, first of all, {reported:?}"
    );
}
