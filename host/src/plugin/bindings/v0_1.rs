//! Version 0.1 of the contract, frozen: its rules take no settings, are told no causation, caller or
//! metadata, and know one version of each event.

use saga_contract::description::Description;
use saga_core::message as m;
use saga_core::outcome::{Disposition, Outcome};
use wasmtime::Store;

use crate::plugin::sandbox::Sandbox;

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
        path: "../wit/0.1",
        world: "participant",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use generated::{Participant, ParticipantPre};

saga_contract::description_from_generated!(
    generated::saga::participant::types,
    settings: |_| None,
    metadata: |_| Vec::new(),
    claims: |_| Vec::new(),
    location: |location: String| Some(location).filter(|location| !location.is_empty()),
    requires: |_| Vec::new(),
    published: |_| 1,
    read: |_| (1, Vec::new()),
);
saga_core::outcome_from_generated!();

pub(super) fn describe(
    participant: &Participant,
    store: &mut Store<Sandbox>,
) -> wasmtime::Result<Description> {
    let rules = participant.saga_participant_rules();
    let described = rules.call_describe(store).map(description)?;
    Ok(Description {
        has_open_refusals: true,
        ..described
    })
}

pub(super) fn handle(
    participant: &Participant,
    store: &mut Store<Sandbox>,
    state: Option<&str>,
    message: &m::Message,
) -> wasmtime::Result<Result<Outcome, Disposition>> {
    let parameters: Vec<_> = (message.parameters.iter())
        .map(|(name, value)| t::Parameter { name, value })
        .collect();
    let message = generated::exports::saga::participant::rules::Message {
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
        parameters: &parameters,
        body: &message.body,
    };
    let rules = participant.saga_participant_rules();
    let answer = rules.call_handle(store, state, message)?;
    Ok(answer.map(outcome).map_err(disposition))
}

pub(super) fn migrate(
    participant: &Participant,
    store: &mut Store<Sandbox>,
    version: u32,
    state: &str,
) -> wasmtime::Result<Result<String, Disposition>> {
    let rules = participant.saga_participant_rules();
    let answer = rules.call_migrate(store, version, state)?;
    Ok(answer.map_err(disposition))
}
