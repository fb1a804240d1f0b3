//! Mistakes in a contract that the compiler can't see.
//!
//! Owns the way of a description to the host's own check of it, so that what an author's tests accept is what a host accepts.
//! The test kit runs it before every scenario. Not in components: a host checks what they describe.

use crate::bindings::saga::participant::types as wit;

saga_contract::description_from_generated!(crate::bindings::saga::participant::types);

/// Everything for which a host would refuse a component of this description, one sentence each.
pub(crate) fn problems(described: wit::Description) -> Vec<String> {
    let problems = saga_contract::check::problems(&description(described));
    problems.iter().map(ToString::to_string).collect()
}

/// Everything for which a host would refuse to swap one build of a participant for another, one
/// sentence each. Both have passed [`problems`].
pub(crate) fn breaks(active: &wit::Description, candidate: &wit::Description) -> Vec<String> {
    let (active, candidate) = (description(active.clone()), description(candidate.clone()));
    let lacks = saga_contract::compatibility::lacks(&active, &candidate);
    let shapes = saga_contract::shapes::against(&active, &candidate);
    let lacks = lacks.iter().map(ToString::to_string);
    lacks
        .chain(shapes.breaks.into_iter().map(|one| one.text))
        .collect()
}
