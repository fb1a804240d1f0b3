//! [`AnyRules`]: the rules of a participant without its types, so that a world holds several.

use std::any::TypeId;

use crate::bindings::saga::participant::types::{Description, Disposition, Message, Outcome};
use crate::check::Declared;
use crate::participant::Participant;
use crate::router::Rules;

pub(super) trait AnyRules {
    fn of(&self) -> TypeId;
    fn description(&self) -> &Description;
    fn declared(&self) -> &Declared;
    fn handle(
        &self,
        state: Option<String>,
        message: Message,
        settings: String,
    ) -> Result<Outcome, Disposition>;
    fn migrate(&self, version: u32, state: String) -> Result<String, Disposition>;
}

struct Typed<P: Participant> {
    rules: Rules<P>,
    description: Description,
    declared: Declared,
}

/// The rules of `P`, whose contract has been checked.
#[track_caller]
pub(super) fn of<P: Participant>() -> std::rc::Rc<dyn AnyRules> {
    let rules = Rules::<P>::new();
    crate::testing::assert_in_order(&rules.problems());
    let description = rules.describe();
    std::rc::Rc::new(Typed {
        rules,
        declared: Declared::of(&description),
        description,
    })
}

impl<P: Participant> AnyRules for Typed<P> {
    fn of(&self) -> TypeId {
        TypeId::of::<P>()
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn declared(&self) -> &Declared {
        &self.declared
    }

    fn handle(
        &self,
        state: Option<String>,
        message: Message,
        settings: String,
    ) -> Result<Outcome, Disposition> {
        self.rules.handle(state, message, settings)
    }

    fn migrate(&self, version: u32, state: String) -> Result<String, Disposition> {
        self.rules.migrate(version, state)
    }
}
