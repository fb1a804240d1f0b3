//! Tallies: the messages that each generation was asked, and their verdicts.
//!
//! What an entry holds is counted in its transaction, so decisions and refusals are exact. What
//! leaves nothing to commit (a read, a command on which the rules broke) is counted with the next
//! commit, or soon; a crash may lose the last of it.

use saga_core::message::Origin;

/// The outcome of a message, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was decided.
    Decided,
    /// It was a command, and was refused.
    Refused,
    /// The rules broke on it.
    Fault,
    /// It was a read.
    Read,
}

/// One message that was offered to the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Row of the generation.
    pub generation: i64,
    /// How the message came to be.
    pub origin: Origin,
    /// Command name, event type or timer name.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// How an origin is called in the table.
pub(super) fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Command => "command",
        Origin::Event => "event",
        Origin::Timer => "timer",
    }
}
