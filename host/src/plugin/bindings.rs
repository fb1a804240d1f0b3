//! The types that wasmtime generates from `wit/`, and their conversion to and from the core's.
//!
//! Only this file knows both. A new version of the WIT gets a file of its own beside it.

use saga_core::message as m;

#[allow(missing_docs, reason = "generated; the WIT documents every item")]
#[allow(unreachable_pub, reason = "generated")]
#[allow(
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "generated"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "participant",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use generated::Participant;
pub(super) use generated::ParticipantPre;
use generated::exports::saga::participant::rules as r;

saga_core::conversions_from_generated!(generated::saga::participant::types);

/// The name under which a component exports its rules.
pub(super) const RULES_EXPORT: &str = "saga:participant/rules@0.1.0";

/// The parameters of a message in the guest's type; borrows all text.
pub(super) fn parameters(message: &m::Message) -> Vec<t::Parameter<'_>> {
    message
        .parameters
        .iter()
        .map(|(name, value)| t::Parameter { name, value })
        .collect()
}

/// The message in the guest's type; borrows all text.
pub(super) fn message<'a>(
    message: &'a m::Message,
    parameters: &'a [t::Parameter<'a>],
) -> r::Message<'a> {
    r::Message {
        id: &message.id,
        source: &message.source,
        origin: match message.origin {
            m::Origin::Command => t::Origin::Command,
            m::Origin::Event => t::Origin::Event,
            m::Origin::Timer => t::Origin::Timer,
        },
        name: &message.name,
        key: &message.key,
        time: message.time,
        correlation: &message.correlation,
        parameters,
        body: &message.body,
    }
}
