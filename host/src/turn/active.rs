//! What decides: a generation, and where its events and dead letters go.
//!
//! Made whole before any turn runs on it, and never altered: a swap replaces it (invariant 6).

use std::collections::HashMap;
use std::sync::Arc;

use saga_contract::description::Description;
pub use saga_core::worker::Lane;

use crate::base::generation::Generation;

/// A generation that decides.
pub struct Active {
    /// The generation.
    pub generation: Generation,
    /// Where its events go, by the topic's name in its description.
    pub topics: HashMap<String, Lane>,
    /// Where its dead letters go, by the topic that they came from.
    pub dead_letters: HashMap<Arc<str>, Lane>,
}

impl Active {
    /// What the participant says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.generation.description()
    }

    /// Digest of the build.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.generation.build.digest()
    }
}

impl saga_core::worker::Active for Active {
    fn generation(&self) -> i64 {
        self.generation.id
    }

    fn digest(&self) -> &str {
        self.generation.build.digest()
    }

    fn description(&self) -> &Description {
        self.generation.description()
    }

    fn lane(&self, topic: &str) -> Option<Lane> {
        self.topics.get(topic).copied()
    }

    fn dead_letters(&self, topic: &Arc<str>) -> Option<Lane> {
        self.dead_letters.get(topic).copied()
    }
}
