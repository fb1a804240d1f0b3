//! [`Outsiders`]: programs beside the participants, such as the adapter of a payment gateway.

use std::any::{Any, type_name};
use std::rc::Rc;

use super::world::World;
use crate::testing::fail;

/// Lets an outsider with this state act; false if there was nothing to do.
type Act = Rc<dyn Fn(&mut dyn Any, &mut World) -> bool>;

/// Makes the state of an outsider, and lets it act.
#[derive(Clone)]
pub(super) struct Outsider {
    pub(super) make: Rc<dyn Fn() -> Box<dyn Any>>,
    pub(super) act: Act,
}

/// The outsiders of one run.
pub(super) struct Outsiders {
    /// Their states; none for the one that acts.
    states: Vec<Option<Box<dyn Any>>>,
    is_idle: Vec<bool>,
    pub(super) is_acting: bool,
}

impl Outsiders {
    pub(super) fn new(outsiders: &[Outsider]) -> Self {
        Self {
            states: outsiders.iter().map(|one| Some((one.make)())).collect(),
            is_idle: vec![false; outsiders.len()],
            is_acting: false,
        }
    }

    /// Something has changed: each may have something to do.
    pub(super) fn wake(&mut self) {
        self.is_idle.fill(false);
    }

    /// The places of those that may have something to do. One that acts is not interrupted.
    pub(super) fn ready(&self) -> Vec<usize> {
        let places = self.is_idle.iter().enumerate();
        let ready = places.filter(|(_, is_idle)| !self.is_acting && !**is_idle);
        ready.map(|(place, _)| place).collect()
    }

    #[track_caller]
    pub(super) fn get<O: 'static>(&self) -> &O {
        let mut states = self.states.iter().flatten();
        match states.find_map(|state| state.downcast_ref()) {
            Some(outsider) => outsider,
            None => missing::<O>(),
        }
    }

    #[track_caller]
    pub(super) fn get_mut<O: 'static>(&mut self) -> &mut O {
        let mut states = self.states.iter_mut().flatten();
        match states.find_map(|state| state.downcast_mut()) {
            Some(outsider) => outsider,
            None => missing::<O>(),
        }
    }
}

impl World {
    /// Lets an outsider act once; it is idle if it says so.
    pub(super) fn let_act(&mut self, place: usize) {
        let outsider = self.blueprint.outsiders.get(place).cloned();
        let state = self.outsiders.states.get_mut(place).and_then(Option::take);
        let (Some(outsider), Some(mut state)) = (outsider, state) else {
            return;
        };
        let set_idle = |outsiders: &mut Outsiders, idle| {
            if let Some(is_idle) = outsiders.is_idle.get_mut(place) {
                *is_idle = idle;
            }
        };
        // What changes while it acts wakes it again: it may have looked before.
        set_idle(&mut self.outsiders, true);
        self.outsiders.is_acting = true;
        let has_more = (outsider.act)(state.as_mut(), self);
        self.outsiders.is_acting = false;
        if let Some(there) = self.outsiders.states.get_mut(place) {
            *there = Some(state);
        }
        if has_more {
            set_idle(&mut self.outsiders, false);
        }
        self.check_invariants();
    }
}

#[track_caller]
fn missing<O>() -> ! {
    fail(&format!(
        "{} is not outside of this world, or it is acting: add it with .outside(…)",
        type_name::<O>()
    ))
}
