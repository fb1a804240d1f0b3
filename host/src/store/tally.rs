//! Tallies: the number of messages offered to each generation, and its verdicts.
//!
//! An entry is counted in its transaction, so decisions and refusals are exact. A message that
//! leaves nothing to commit (a read, a command on which the rules failed) is counted with the next
//! commit, or soon; a crash may lose the last of these.

pub use saga_core::commit::{Tally, Verdict};
