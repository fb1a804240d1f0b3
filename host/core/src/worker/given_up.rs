//! What follows a message that was not decided: another attempt, the quarantine of its aggregate,
//! or a dead letter.

use std::time::Duration;

use super::action::End;
use super::attempt::Undecided;
use super::host::{Active, Host};
use super::settings::Waits;
use super::trial::Trial;
use crate::commit::{DeadLetter, FiredTimer, ParkedTimer};
use crate::foreign;
use crate::limits::TurnLimits;
use crate::record::Record;
use crate::retry::{Next, RetryPolicy};
use crate::rules::{Fault, FaultKind};

/// Bytes of a value that are kept with a dead letter in any case.
const KEPT_BYTES: usize = 1 << 20;

/// The reason of a dead letter that makes no sense, to the host or to the rules.
const MALFORMED: &str = "malformed";

/// The reason of a dead letter that the rules asked to be given later again and again.
const RETRIES_EXHAUSTED: &str = "retries-exhausted";

/// The reason of a dead letter for which there was no room among the parked messages.
pub(super) const PARKING_FULL: &str = "parking-full";

/// What follows, after these attempts.
pub(super) fn what_next<H: Host>(
    (policy, waits): (&RetryPolicy, &Waits),
    undecided: Undecided<H>,
    trial: &mut Trial,
    now: Duration,
) -> Failure {
    // What may not pass, the same input would bring about again.
    let (may_pass, given_up) = match undecided {
        Undecided::RetryLater(detail) => {
            let given_up = GivenUp {
                reason: RETRIES_EXHAUSTED,
                ..GivenUp::malformed(detail)
            };
            (true, Failure::GiveUp(given_up))
        }
        Undecided::Broke(fault) => (fault.may_pass(), Failure::GiveUp(GivenUp::broke(fault))),
        Undecided::NotMigrated(fault) => (fault.may_pass(), Failure::Quarantine(fault)),
        Undecided::Malformed(detail) => (false, Failure::GiveUp(GivenUp::malformed(detail))),
        // Says nothing of the message: it was no attempt (invariant 5).
        Undecided::Store(_) => {
            trial.spare();
            return Failure::Store;
        }
        // No more does this (invariant 12).
        Undecided::Machine(_) => {
            trial.spare();
            return Failure::Retry(waits.machine);
        }
    };
    if may_pass && let Next::RetryAfter(ms) = policy.after(trial.attempts, trial.waited_ms(now)) {
        return Failure::Retry(Duration::from_millis(ms));
    }
    given_up
}

/// What follows a message that was not decided.
pub(super) enum Failure {
    /// Another attempt, after this time.
    Retry(Duration),
    /// The store can't be read: it comes again when it can.
    Store,
    /// The state of its aggregate can't be read: its messages are parked.
    Quarantine(Fault),
    /// It becomes a dead letter; a timer is parked.
    GiveUp(GivenUp),
}

/// Why a message is given up.
pub(super) struct GivenUp {
    /// A stable word.
    pub(super) reason: &'static str,
    /// What was wrong.
    pub(super) detail: String,
    /// Whether the rules broke.
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

    /// A timer that waits for another attempt, or behind others.
    pub(super) fn waits(detail: &str) -> Self {
        Self {
            reason: "waits",
            ..Self::malformed(detail.to_owned())
        }
    }

    /// How its turn is counted.
    pub(super) fn end(&self) -> End {
        match self.reason {
            _ if self.is_fault => End::Fault,
            RETRIES_EXHAUSTED | PARKING_FULL => End::DeadLetter,
            _ => End::Malformed,
        }
    }

    /// The dead letter of a record, and whether it became one after so many attempts at this time.
    /// A value beyond [`KEPT_BYTES`] and what a record may have is not kept: a few kilobytes, well
    /// compressed, could otherwise fill the store (invariant 9). Where it is told, it can be read
    /// again.
    pub(super) fn of_record(
        mut self,
        (group, record): (&str, &Record),
        (attempts, time): (u32, u64),
        limits: &TurnLimits,
        active: &impl Active,
    ) -> DeadLetter {
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
        DeadLetter {
            consumer: group.to_owned(),
            topic: record.position.topic.to_string(),
            partition: record.position.partition,
            offset: record.position.offset,
            key: record.key.as_ref().filter(|key| !too_large(key)).cloned(),
            value: record
                .value
                .as_ref()
                .filter(|value| !too_large(value))
                .cloned(),
            reason: self.reason.into(),
            detail: self.detail,
            attempts,
            digest: active.digest().into(),
            time,
        }
    }

    /// A timer that is parked, after so many attempts.
    pub(super) fn of_timer(
        self,
        fired: FiredTimer,
        (attempts, time): (u32, u64),
        active: &impl Active,
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

    /// There is no room to park a message of an aggregate whose state can't be read. `is_fault`
    /// where that was tried.
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

    fn after(undecided: Undecided<Nobody>) -> (Failure, u32) {
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
        assert!(matches!(next, Failure::Store));
        assert_eq!(attempts, u32::MAX - 1);
    }

    #[test]
    fn invariant_12_no_lack_of_the_machine_is_charged_to_a_message() {
        let lack = Fault::new(FaultKind::Machine, "memory");
        let (next, attempts) = after(Undecided::Machine(lack));
        assert!(matches!(next, Failure::Retry(wait) if wait == Waits::default().machine));
        assert_eq!(attempts, u32::MAX - 1);
    }
}
