//! A generation: one loaded build of a participant's rules, and where it comes from.

use std::sync::Arc;

use saga_contract::description::Description;
use saga_core::rules::{Fault, Rules};

/// A build of a participant's rules. Components are one kind; rules that are compiled into the
/// process (the benchmark's) are the other.
pub trait Build: Send + Sync {
    /// What tells this build from others; for a component the SHA-256 of its bytes in hexadecimal.
    fn digest(&self) -> &str;
    /// What the participant says of itself.
    fn description(&self) -> &Description;
    /// What an operator should know of this build, although it is no reason to refuse it.
    fn note(&self) -> Option<&str> {
        None
    }
    /// Rules ready to be called by one thread.
    ///
    /// # Errors
    /// A [`Fault`] when they can't be made, for want of memory most of the time.
    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault>;
}

/// A build that decides, with the number under which the store knows it.
#[derive(Clone)]
pub struct Generation {
    /// Row in the store's table of generations.
    pub id: i64,
    /// The build.
    pub build: Arc<dyn Build>,
}

impl Generation {
    /// What the participant says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.build.description()
    }
}
