//! Tallies: the messages that each generation was asked, and their verdicts.
//!
//! What an entry holds is counted in its transaction, so decisions and refusals are exact. What
//! leaves nothing to commit (a read, a command on which the rules broke) is counted with the next
//! commit, or soon; a crash may lose the last of it.

pub use saga_core::commit::{Tally, Verdict};
use saga_core::message::Origin;

/// How an origin is called in the table.
pub(super) fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Command => "command",
        Origin::Event => "event",
        Origin::Timer => "timer",
    }
}
