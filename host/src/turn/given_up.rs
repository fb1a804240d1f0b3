//! What follows a message that was not decided: another attempt, the quarantine of its aggregate, or a dead letter.

use std::time::Duration;

use saga_core::foreign;
use saga_core::message::Message;
use saga_core::record::Record;
use saga_core::retry::{Next, RetryPolicy};
use saga_core::rules::{Fault, FaultKind};

use super::active::Active;
use super::decide::Undecided;
use super::participant::Shared;
use super::turn::Trial;
use crate::base::clock::now_ms;
use crate::metrics::turns::End;
use crate::store::parked::ParkedTimer;
use crate::store::{DeadLetter, FiredTimer, Quarantine, StoreFault};

/// Bytes of a value that are kept with a dead letter in any case.
const KEPT_BYTES: usize = 1 << 20;

/// Wait before the store is asked again after it failed.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(200);

/// Wait before a message is tried again for which the machine lacked something.
pub(super) const MACHINE_RETRY: Duration = Duration::from_millis(500);

/// The reason of a dead letter that makes no sense, to the host or to the rules.
const MALFORMED: &str = "malformed";

/// The reason of a dead letter that the rules asked to be given later again and again.
const RETRIES_EXHAUSTED: &str = "retries-exhausted";

/// The reason of a dead letter for which there was no room among the parked messages.
pub(super) const PARKING_FULL: &str = "parking-full";

/// What follows, after these attempts.
pub(super) fn what_next(policy: &RetryPolicy, undecided: Undecided, trial: &mut Trial) -> Failure {
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
        Undecided::Store(fault) => {
            trial.spare();
            return Failure::Store(fault);
        }
        // No more does this (invariant 12).
        Undecided::Machine(_) => {
            trial.spare();
            return Failure::Retry(MACHINE_RETRY);
        }
    };
    if may_pass && let Next::RetryAfter(ms) = policy.after(trial.attempts, trial.waited_ms()) {
        return Failure::Retry(Duration::from_millis(ms));
    }
    given_up
}

/// What follows a message that was not decided.
pub(super) enum Failure {
    /// Another attempt, after this time.
    Retry(Duration),
    /// The store can't be read: it comes again when it can.
    Store(StoreFault),
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

    /// How its turn is counted.
    pub(super) fn end(&self) -> End {
        match self.reason {
            _ if self.is_fault => End::Fault,
            RETRIES_EXHAUSTED | PARKING_FULL => End::DeadLetter,
            _ => End::Malformed,
        }
    }

    /// The dead letter of a record. A value beyond [`KEPT_BYTES`] and what a record may have is not kept: a few kilobytes, well compressed,
    /// could otherwise fill the store (invariant 9). Where it is told, it can be read again.
    pub(super) fn of_record(
        mut self,
        group: &str,
        record: &Record,
        attempts: u32,
        shared: &Shared,
        active: &Active,
    ) -> DeadLetter {
        if self.reason == MALFORMED
            && let Some(looks) = record.value.as_deref().and_then(foreign::looks_like)
        {
            self.detail.push_str("; ");
            self.detail.push_str(&looks);
        }
        let most = shared.limits.record_bytes.max(KEPT_BYTES);
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
            time: now_ms(),
        }
    }

    /// A timer that is parked, after so many attempts.
    pub(super) fn of_timer(self, fired: FiredTimer, attempts: u32, active: &Active) -> ParkedTimer {
        ParkedTimer {
            fired,
            reason: self.reason.into(),
            detail: self.detail,
            attempts,
            digest: active.digest().into(),
            time: now_ms(),
        }
    }

    /// There is no room to park a message of an aggregate whose state can't be read. `is_fault` where that was tried.
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

/// Puts the aggregate of a message into quarantine.
pub(super) fn quarantine(message: &Message, reason: &str) -> Quarantine {
    Quarantine::Put {
        key: message.key.clone(),
        reason: reason.to_owned(),
        time: now_ms(),
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
    use super::*;
    use crate::store::FaultKind as Kind;

    #[test]
    fn invariant_5_no_fault_of_the_store_is_charged_to_a_message() {
        for kind in [Kind::Passing, Kind::Damaged, Kind::Gone] {
            let fault = StoreFault::new(kind, "the store can't do it");
            let mut trial = Trial::default();
            trial.attempts = u32::MAX;
            let next = what_next(&RetryPolicy::default(), fault.into(), &mut trial);
            assert!(matches!(next, Failure::Store(_)), "{kind:?}");
            assert_eq!(trial.attempts, u32::MAX - 1, "{kind:?}");
        }
    }

    #[test]
    fn invariant_12_no_lack_of_the_machine_is_charged_to_a_message() {
        let mut trial = Trial::default();
        trial.attempts = u32::MAX;
        let lack = Undecided::Machine(Fault::new(FaultKind::Machine, "memory"));
        let next = what_next(&RetryPolicy::default(), lack, &mut trial);
        assert!(matches!(next, Failure::Retry(MACHINE_RETRY)));
        assert_eq!(trial.attempts, u32::MAX - 1);
    }
}
