//! What follows a message that was not decided: another attempt, or a dead letter.

use std::time::Duration;

use saga_core::message::Message;
use saga_core::record::Record;
use saga_core::retry::{Next, RetryPolicy};
use saga_core::rules::{Fault, FaultKind};

use super::active::Active;
use super::decide::Undecided;
use super::participant::Shared;
use super::turn::TimerTurn;
use crate::clock::now_ms;
use crate::metrics::turns::End;
use crate::store::{DeadLetter, Quarantine, Taken};

/// Bytes of a value that are kept with a dead letter in any case.
const KEPT_BYTES: usize = 1 << 20;

/// Wait before the store is asked again after it failed.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(200);

/// Wait before a message is tried again for which the machine lacked something.
pub(super) const MACHINE_RETRY: Duration = Duration::from_millis(500);

/// The reason of a dead letter that the rules asked to be given later again and again.
const RETRIES_EXHAUSTED: &str = "retries-exhausted";

/// What follows, after so many attempts.
pub(super) fn what_next(policy: &RetryPolicy, undecided: Undecided, attempts: u32) -> Failure {
    let retry = |given_up| match policy.after(attempts) {
        Next::RetryAfter(ms) => Failure::Retry(Duration::from_millis(ms)),
        Next::GiveUp => Failure::GiveUp(given_up),
    };
    match undecided {
        Undecided::Malformed(detail) => Failure::GiveUp(GivenUp::malformed(detail)),
        Undecided::RetryLater(detail) => retry(GivenUp {
            reason: RETRIES_EXHAUSTED,
            ..GivenUp::malformed(detail)
        }),
        Undecided::Broke(fault) if fault.may_pass() => retry(GivenUp::broke(fault)),
        // The same input would break it again.
        Undecided::Broke(fault) => Failure::GiveUp(GivenUp::broke(fault)),
        Undecided::NotMigrated(fault) if fault.may_pass() => retry(GivenUp::not_migrated(fault)),
        Undecided::NotMigrated(fault) => Failure::GiveUp(GivenUp::not_migrated(fault)),
        // Says nothing of the message: it is never given up for it (invariant 5).
        Undecided::Store(_) => Failure::Retry(STORE_RETRY),
        // No more does this (invariant 12).
        Undecided::Machine(_) => Failure::Retry(MACHINE_RETRY),
    }
}

/// What follows a message that was not decided.
pub(super) enum Failure {
    /// Another attempt, after this time.
    Retry(Duration),
    /// It becomes a dead letter.
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
    /// Whether the state of its aggregate is what was wrong.
    pub(super) is_not_migrated: bool,
}

impl GivenUp {
    pub(super) fn malformed(detail: String) -> Self {
        Self {
            reason: "malformed",
            detail,
            is_fault: false,
            is_not_migrated: false,
        }
    }

    /// How its turn is counted.
    pub(super) fn end(&self) -> End {
        match self.reason {
            _ if self.is_fault => End::Fault,
            RETRIES_EXHAUSTED => End::DeadLetter,
            _ => End::Malformed,
        }
    }

    /// The dead letter of a record. A value beyond [`KEPT_BYTES`] and what a record may have is not kept: a few kilobytes, well compressed,
    /// could otherwise fill the store (invariant 9). Where it is told, it can be read again.
    pub(super) fn of_record(
        mut self,
        taken: &Taken,
        record: &Record,
        attempts: u32,
        shared: &Shared,
        active: &Active,
    ) -> DeadLetter {
        let most = shared.limits.record_bytes.max(KEPT_BYTES);
        let too_large = |bytes: &Vec<u8>| bytes.len() > most;
        if let Some(value) = record.value.as_ref().filter(|value| too_large(value)) {
            self.detail.push_str(&format!(
                "; its value of {} bytes is not kept: that is more than {most} bytes",
                value.len()
            ));
        }
        DeadLetter {
            consumer: taken.session.source.group.to_string(),
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

    /// The dead letter of a timer.
    pub(super) fn of_timer(self, turn: &TimerTurn, active: &Active) -> DeadLetter {
        DeadLetter {
            consumer: "timer".into(),
            topic: turn.fired.name.clone(),
            partition: 0,
            offset: 0,
            key: Some(turn.fired.key.clone().into_bytes()),
            value: Some(turn.envelope.message.body.clone().into_bytes()),
            reason: self.reason.into(),
            detail: self.detail,
            attempts: turn.attempts,
            digest: active.digest().into(),
            time: now_ms(),
        }
    }

    fn broke(fault: Fault) -> Self {
        Self {
            reason: fault_word(fault.kind),
            is_fault: true,
            ..Self::malformed(fault.detail)
        }
    }

    fn not_migrated(fault: Fault) -> Self {
        Self {
            reason: fault_word(FaultKind::Migration),
            is_not_migrated: true,
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
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn invariant_5_no_fault_of_the_store_is_charged_to_a_message() {
        for code in [
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_CORRUPT,
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let next = what_next(&RetryPolicy::default(), error.into(), u32::MAX);
            assert!(matches!(next, Failure::Retry(_)), "{code}");
        }
    }
}
