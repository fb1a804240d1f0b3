//! The active generation, and the topics of its events and dead letters.
//!
//! Complete before any turn runs on it, and never modified: a swap replaces it (invariant 6).

use std::collections::HashMap;
use std::sync::Arc;

use saga_contract::description::Description;
use saga_contract::outputs::OutputSchemas;
pub use saga_core::worker::Lane;

use crate::base::generation::Generation;

/// A generation that decides.
pub struct Active {
    /// The generation.
    pub generation: Generation,
    /// Lanes of its events, by the topic's name in its description.
    pub topics: HashMap<String, Lane>,
    /// Lanes of its dead letters, by the topic that they came from.
    pub dead_letters: HashMap<Arc<str>, Lane>,
}

impl Active {
    /// The participant's description.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.generation.description()
    }

    /// Digest of the component.
    #[must_use]
    pub fn component(&self) -> &str {
        self.generation.build.component()
    }

    /// Digest of the build: of its component and settings.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.generation.build.digest()
    }
}

impl saga_core::worker::ActiveRules for Active {
    fn generation(&self) -> i64 {
        self.generation.id
    }

    fn digest(&self) -> &str {
        self.generation.build.digest()
    }

    fn description(&self) -> &Description {
        self.generation.description()
    }

    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        self.generation.build.schemas()
    }

    fn lane(&self, topic: &str) -> Option<Lane> {
        self.topics.get(topic).copied()
    }

    fn dead_letters(&self, topic: &Arc<str>) -> Option<Lane> {
        self.dead_letters.get(topic).copied()
    }
}
