//! The step after a message was not decided: another attempt, the quarantine of its aggregate, or a
//! dead letter.

use std::time::Duration;

use super::action::End;
use super::attempt::Undecided;
use super::host::{ActiveRules, HostTypes};
use super::settings::Waits;
use super::trial::Trial;
use crate::commit::{Blocks, DeadLetter, FailedRedrive, FiredTimer, ParkedTimer};
use crate::foreign;
use crate::identity::Identity;
use crate::limits::TurnLimits;
use crate::record::Record;
use crate::retry::{Next, RetryPolicy};
use crate::rules::{Fault, FaultKind};

/// Bytes of a value that are always kept with a dead letter.
const KEPT_BYTES: usize = 1 << 20;

/// The reason of a dead letter that is malformed, according to the host or to the rules.
const MALFORMED: &str = "malformed";

/// The reason of a dead letter for which the rules asked for too many attempts.
const RETRIES_EXHAUSTED: &str = "retries-exhausted";

/// The reason of a dead letter that could not be parked for lack of room.
pub(super) const PARKING_FULL: &str = "parking-full";

/// The next step, after these attempts.
pub(super) fn what_next<H: HostTypes>(
    (policy, waits): (&RetryPolicy, &Waits),
    undecided: Undecided<H>,
    trial: &mut Trial,
    now: Duration,
) -> AfterFailure {
    // A permanent failure would recur on the same input.
    let (may_pass, given_up) = match undecided {
        Undecided::RetryLater(detail) => {
            let given_up = GivenUp {
                reason: RETRIES_EXHAUSTED,
                ..GivenUp::malformed(detail)
            };
            (true, AfterFailure::GiveUp(given_up))
        }
        Undecided::Broke(fault) => (
            fault.may_pass(),
            AfterFailure::GiveUp(GivenUp::broke(fault)),
        ),
        Undecided::NotMigrated(fault) => (fault.may_pass(), AfterFailure::Quarantine(fault)),
        Undecided::Malformed(detail) => (false, AfterFailure::GiveUp(GivenUp::malformed(detail))),
        // Says nothing about the message, so it was no attempt (invariant 5).
        Undecided::Store(_) => {
            trial.spare();
            return AfterFailure::Store;
        }
        // Nor does this (invariant 12).
        Undecided::Machine(_) => {
            trial.spare();
            return AfterFailure::Retry(waits.machine);
        }
    };
    if may_pass && let Next::RetryAfter(ms) = policy.after(trial.attempts, trial.waited_ms(now)) {
        return AfterFailure::Retry(Duration::from_millis(ms));
    }
    given_up
}

/// The step after a message was not decided.
pub(super) enum AfterFailure {
    /// Another attempt, after this time.
    Retry(Duration),
    /// The store can't be read: the message is delivered again once it can.
    Store,
    /// The state of its aggregate can't be read: its messages are parked.
    Quarantine(Fault),
    /// It becomes a dead letter; a timer is parked.
    GiveUp(GivenUp),
}

/// A record that is given up.
pub(super) struct Undecidable<'r> {
    /// The consumer group.
    pub(super) group: &'r str,
    /// Its topic, by the participant's name.
    pub(super) declared_topic: &'r str,
    /// The record.
    pub(super) record: &'r Record,
    /// Identity of the message that it was admitted as.
    pub(super) identity: Option<&'r Identity>,
    /// True if it stays parked.
    pub(super) is_parked: bool,
}

/// The reason why a message is given up.
pub(super) struct GivenUp {
    /// A stable word.
    pub(super) reason: &'static str,
    /// Description of the problem.
    pub(super) detail: String,
    /// True if the rules broke.
    pub(super) is_fault: bool,
}

impl GivenUp {
    pub(super) fn malformed(detail: String) -> Self {
        Self {
            reason: MALFORMED,
            detail,
            is_fault: false,
        }
    }

    /// A timer that waits for another attempt, or behind other messages.
    pub(super) fn waits(detail: &str) -> Self {
        Self {
            reason: "waits",
            ..Self::malformed(detail.to_owned())
        }
    }

    /// The messages that a dead letter of this reason blocks.
    pub(super) fn blocks(&self) -> Blocks {
        match self.reason == RETRIES_EXHAUSTED {
            true => Blocks::Messages,
            false => Blocks::All,
        }
    }

    /// The end of its turn.
    pub(super) fn end(&self) -> End {
        match self.reason {
            _ if self.is_fault => End::Fault,
            RETRIES_EXHAUSTED | PARKING_FULL => End::DeadLetter,
            _ => End::Malformed,
        }
    }

    /// The dead letter of a record that was given up at this time after this number of attempts. A
    /// value beyond [`KEPT_BYTES`] and beyond the limit of a record is not kept: a few kilobytes,
    /// well compressed, could otherwise fill the store (invariant 9). It can still be read at its
    /// position in the topic.
    pub(super) fn of_record(
        mut self,
        lost: Undecidable<'_>,
        (attempts, time): (u32, u64),
        limits: &TurnLimits,
        active: &impl ActiveRules,
    ) -> DeadLetter {
        let record = lost.record;
        if self.reason == MALFORMED
            && let Some(looks) = record.value.as_deref().and_then(foreign::looks_like)
        {
            self.detail.push_str("; ");
            self.detail.push_str(&looks);
        }
        let most = limits.record_bytes.max(KEPT_BYTES);
        let too_large = |bytes: &Vec<u8>| bytes.len() > most;
        if let Some(value) = record.value.as_ref().filter(|value| too_large(value)) {
            self.detail.push_str(&format!(
                "; its value of {} bytes is not kept: that is more than {most} bytes",
                value.len()
            ));
        }
        let kept = |bytes: &Option<Vec<u8>>| bytes.clone().filter(|bytes| !too_large(bytes));
        DeadLetter {
            group: lost.group.to_owned(),
            declared_topic: lost.declared_topic.to_owned(),
            record: Record {
                key: kept(&record.key),
                value: kept(&record.value),
                attributes: record.attributes.clone(),
                position: record.position.clone(),
                timestamp: record.timestamp,
            },
            identity: lost.identity.cloned(),
            is_parked: lost.is_parked,
            reason: self.reason.into(),
            detail: self.detail,
            attempts,
            digest: active.digest().into(),
            time,
        }
    }

    /// A dead letter that was redriven without success, after this number of attempts.
    pub(super) fn of_redrive(
        self,
        (letter, request): (i64, i64),
        (attempts, time): (u32, u64),
        active: &impl ActiveRules,
    ) -> FailedRedrive {
        FailedRedrive {
            letter,
            request,
            reason: self.reason.into(),
            detail: self.detail,
            attempts,
            digest: active.digest().into(),
            time,
        }
    }

    /// A timer that is parked, after this number of attempts.
    pub(super) fn of_timer(
        self,
        fired: FiredTimer,
        (attempts, time): (u32, u64),
        active: &impl ActiveRules,
    ) -> ParkedTimer {
        ParkedTimer {
            fired,
            reason: self.reason.into(),
            detail: self.detail,
            attempts,
            digest: active.digest().into(),
            time,
        }
    }

    /// There is no room to park a message of an aggregate whose state can't be read. `is_fault` is
    /// true if the state was tried.
    pub(super) fn no_room(detail: &str, is_fault: bool) -> Self {
        let limits = "raise parked.messages, parked.bytes or parked.aggregate_messages";
        Self {
            reason: PARKING_FULL,
            is_fault,
            ..Self::malformed(format!(
                "its aggregate is quarantined, and as many messages are parked as may be ({limits}): {detail}"
            ))
        }
    }

    fn broke(fault: Fault) -> Self {
        Self {
            reason: fault_word(fault.kind),
            is_fault: true,
            ..Self::malformed(fault.detail)
        }
    }

    /// The state of its aggregate can't be read.
    pub(super) fn not_migrated(fault: Fault) -> Self {
        Self {
            reason: fault_word(FaultKind::Migration),
            ..Self::broke(fault)
        }
    }
}

fn fault_word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Trap => "trap",
        FaultKind::OutOfFuel => "out-of-fuel",
        FaultKind::Deadline => "deadline",
        FaultKind::OutOfMemory => "out-of-memory",
        FaultKind::OutputTooLarge => "output-too-large",
        FaultKind::BadOutput => "bad-output",
        FaultKind::Migration => "migration",
        FaultKind::Machine => "machine",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Nobody;
    use super::*;

    fn after(undecided: Undecided<Nobody>) -> (AfterFailure, u32) {
        let mut trial = Trial {
            attempts: u32::MAX,
            ..Trial::default()
        };
        let policy = RetryPolicy::default();
        let waits = Waits::default();
        let next = what_next((&policy, &waits), undecided, &mut trial, Duration::ZERO);
        (next, trial.attempts)
    }

    #[test]
    fn invariant_5_no_fault_of_the_store_is_charged_to_a_message() {
        let (next, attempts) = after(Undecided::Store("disk full"));
        assert!(matches!(next, AfterFailure::Store));
        assert_eq!(attempts, u32::MAX - 1);
    }

    #[test]
    fn invariant_12_no_lack_of_the_machine_is_charged_to_a_message() {
        let lack = Fault::new(FaultKind::Machine, "memory");
        let (next, attempts) = after(Undecided::Machine(lack));
        assert!(matches!(next, AfterFailure::Retry(wait) if wait == Waits::default().machine));
        assert_eq!(attempts, u32::MAX - 1);
    }
}
