//! The function from a message to an outcome, as the host calls it.
//!
//! Two implementations exist: an instance of a component (in the host), and compiled-in rules (in
//! the benchmark, which measures the cost of the component boundary).

use saga_contract::reason::shorten;

use crate::message::Message;
use crate::outcome::{Disposition, Outcome};

/// Rules of one participant, ready to be called. Not shared between threads.
pub trait Rules {
    /// Decides on one message.
    ///
    /// # Errors
    /// A [`Fault`] if the rules broke. The implementation must be usable afterwards.
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault>;

    /// Migrates a state of an older shape to the current one.
    ///
    /// # Errors
    /// A [`Fault`] if the rules broke or can't read that version.
    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault>;

    /// Makes an instance for the next call if there is none; an existing one is kept.
    ///
    /// # Errors
    /// A [`Fault`] if it can't be made.
    fn prepare(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Makes the next call run on a fresh instance, so that nothing of earlier calls is left.
    /// Returns false if the last call already ran on one: a repeated call would change nothing.
    fn renew(&mut self) -> bool {
        false
    }

    /// The memory that the rules hold, and the renewals of their instance since the last call of
    /// this.
    fn upkeep(&mut self) -> Upkeep {
        Upkeep::default()
    }
}

/// Memory of the rules, and renewals of their instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Bytes of memory.
    pub memory_bytes: usize,
    /// Number of renewals by reason, in the order of [`Renewal::ALL`].
    pub renewed: [u32; Renewal::ALL.len()],
}

/// The reason why an instance was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The rules broke on it.
    Fault,
    /// Its calls left too much in memory.
    Memory,
    /// Its calls may have left too many handles.
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

/// The result of one call, and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rules' answer.
    pub answer: Result<Outcome, Disposition>,
    /// Fuel that the call used; 0 if it is not metered.
    pub fuel: u64,
}

/// The rules broke: never a refusal (invariant 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Fault {
    /// Kind of fault.
    pub kind: FaultKind,
    /// Description for people.
    pub detail: String,
}

/// Kind of fault.
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
    /// It requested more memory than allowed.
    #[error("out-of-memory")]
    OutOfMemory,
    /// Its answer exceeds a limit.
    #[error("output-too-large")]
    OutputTooLarge,
    /// Its answer violates the contract.
    #[error("bad-output")]
    BadOutput,
    /// A stored state could not be migrated to the current shape.
    #[error("migration")]
    Migration,
    /// The machine is out of memory, threads or descriptors: says nothing about the rules, nor
    /// about the message.
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

    /// True if the same call could succeed another time.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind.may_pass()
    }
}

impl FaultKind {
    /// True if the same call could succeed another time. Only the wall clock and the machine's
    /// resources are not functions of the input.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Deadline | Self::Machine)
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
    fn only_deadlines_and_shortages_of_the_machine_are_transient_faults() {
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
