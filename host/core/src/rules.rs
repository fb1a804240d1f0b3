//! The function between a message and an outcome, as the host calls it.
//!
//! Two implementations exist: an instance of a component (in the host), and rules that are
//! compiled in (in the benchmark, which measures what the component boundary costs).

use saga_contract::reason::shorten;

use crate::message::Message;
use crate::outcome::{Disposition, Outcome};

/// Rules of one participant, ready to be called. Not shared between threads.
pub trait Rules {
    /// Decides upon one message.
    ///
    /// # Errors
    /// A [`Fault`] when the rules broke. The implementation must be usable afterwards.
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault>;

    /// Brings a state of an older shape to the current one.
    ///
    /// # Errors
    /// A [`Fault`] when the rules broke or can't read that version.
    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault>;

    /// Makes what the next call runs on, where there is nothing to run it on; what is there stays.
    ///
    /// # Errors
    /// A [`Fault`] when it can't be made.
    fn prepare(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Lets the next call run on a fresh instance, so that nothing is left of earlier calls. False where the last call had
    /// one already, so that to call again would change nothing.
    fn renew(&mut self) -> bool {
        false
    }

    /// What the rules hold in memory, and why their instance was renewed since this was last asked.
    fn upkeep(&mut self) -> Upkeep {
        Upkeep::default()
    }
}

/// What rules hold, and why their instance was renewed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Bytes of memory.
    pub memory_bytes: usize,
    /// Renewals, by their reasons in the order of [`Renewal::ALL`].
    pub renewed: [u32; Renewal::ALL.len()],
}

/// Why an instance was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The rules broke on it.
    Fault,
    /// Its calls left much in memory.
    Memory,
    /// Its calls may have left many handles.
    Handles,
}

impl Renewal {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Fault, Self::Memory, Self::Handles];

    /// The reason in one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Memory => "memory",
            Self::Handles => "handles",
        }
    }
}

/// What one call gave, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the rules answered.
    pub answer: Result<Outcome, Disposition>,
    /// Fuel that the call used; 0 where it is not metered.
    pub fuel: u64,
}

/// The rules broke: never a business refusal (invariant 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Fault {
    /// What kind of break.
    pub kind: FaultKind,
    /// What happened, for people.
    pub detail: String,
}

/// What kind of break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FaultKind {
    /// The component trapped.
    #[error("trap")]
    Trap,
    /// It used up its fuel.
    #[error("out-of-fuel")]
    OutOfFuel,
    /// It took longer than the wall-clock backstop.
    #[error("deadline")]
    Deadline,
    /// It wanted more memory than it may have.
    #[error("out-of-memory")]
    OutOfMemory,
    /// It answered more than it may.
    #[error("output-too-large")]
    OutputTooLarge,
    /// It answered what the contract does not allow.
    #[error("bad-output")]
    BadOutput,
    /// A stored state could not be brought to the current shape.
    #[error("migration")]
    Migration,
    /// The machine lacked memory, threads or descriptors: says nothing of the rules, nor of the message.
    #[error("machine")]
    Machine,
}

impl Fault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: shorten(detail.into()),
        }
    }

    /// Whether the same call could go well another time. Only the wall clock and what the machine has are not
    /// functions of the input.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, FaultKind::Deadline | FaultKind::Machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_of_a_fault_is_bounded() {
        let fault = Fault::new(FaultKind::BadOutput, "x".repeat(100_000));
        assert!(fault.detail.len() < 1_100, "{}", fault.detail.len());
    }

    #[test]
    fn only_faults_of_the_wall_clock_and_of_the_machine_may_pass() {
        let kinds = [
            (FaultKind::Trap, "trap", false),
            (FaultKind::OutOfFuel, "out-of-fuel", false),
            (FaultKind::Deadline, "deadline", true),
            (FaultKind::OutOfMemory, "out-of-memory", false),
            (FaultKind::OutputTooLarge, "output-too-large", false),
            (FaultKind::BadOutput, "bad-output", false),
            (FaultKind::Migration, "migration", false),
            (FaultKind::Machine, "machine", true),
        ];
        for (kind, word, may_pass) in kinds {
            let fault = Fault::new(kind, "why");
            assert_eq!(fault.may_pass(), may_pass, "{kind}");
            assert_eq!(fault.to_string(), format!("{word}: why"));
        }
    }
}
