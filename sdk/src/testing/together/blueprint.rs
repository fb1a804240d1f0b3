//! [`Blueprint`]: what all worlds of a test have in common.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::hosted::Hosted;
use super::outsider::Outsider;
use super::rules::AnyRules;
use super::world::World;
use crate::testing::Limits;

/// An invariant of a world.
pub(super) type Invariant = Box<dyn Fn(&World)>;

#[derive(Default)]
pub(super) struct Blueprint {
    /// The first build of each participant.
    pub(super) first: Vec<Rc<dyn AnyRules>>,
    /// The builds of each participant to which it is swapped, by its place.
    pub(super) later: Vec<(usize, Rc<dyn AnyRules>)>,
    /// All builds by their types, with the place of their participant.
    pub(super) rules: BTreeMap<TypeId, (usize, Rc<dyn AnyRules>)>,
    /// The settings that the author gave, by the place of the participant.
    pub(super) settings: BTreeMap<usize, String>,
    pub(super) outsiders: Vec<Outsider>,
    pub(super) invariants: Vec<(String, Invariant)>,
    /// Types of events that may come again with another id.
    pub(super) repeats: Vec<String>,
    pub(super) limits: Limits,
}

impl Blueprint {
    /// The participants, without any state.
    pub(super) fn hosted(&self) -> Vec<Hosted> {
        let mut all: Vec<_> = (self.first.iter())
            .map(|rules| Hosted::new(rules.clone()))
            .collect();
        for (place, hosted) in all.iter_mut().enumerate() {
            hosted.settings = self.settings.get(&place).cloned();
            let later = self.later.iter().filter(|(of, _)| *of == place);
            hosted
                .successors
                .extend(later.map(|(_, rules)| rules.clone()));
        }
        all
    }

    /// The place of the participant of this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.first
            .iter()
            .position(|rules| rules.description().name == name)
    }
}
