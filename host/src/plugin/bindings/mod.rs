//! The versions of the contract, each with the types that wasmtime generates from its WIT.
//!
//! A component of any version is called in the core's types: what its version lacks is left out or
//! has the meaning that the contract gave it then. `v0_2` is the present version; the others are
//! frozen in `wit/`.

mod v0_1;
mod v0_2;

use saga_contract::description::Description;
use saga_core::message::Message;
use saga_core::outcome::{Disposition, Outcome};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::sandbox::Sandbox;

/// A version of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractVersion {
    /// 0.1
    V0_1,
    /// 0.2
    V0_2,
}

impl ContractVersion {
    /// All versions, the present one first.
    pub const ALL: [Self; 2] = [Self::V0_2, Self::V0_1];

    /// The name under which a component exports its rules.
    #[must_use]
    pub fn export(self) -> &'static str {
        match self {
            Self::V0_1 => "saga:participant/rules@0.1.0",
            Self::V0_2 => "saga:participant/rules@0.2.0",
        }
    }

    /// The types of the rules, one per line; a test keeps them equal to the WIT.
    #[must_use]
    pub fn types(self) -> &'static str {
        match self {
            Self::V0_1 => include_str!("contract-0.1.txt"),
            Self::V0_2 => include_str!("contract-0.2.txt"),
        }
    }
}

/// A component whose imports are resolved.
#[derive(Clone)]
pub(super) enum ParticipantPre {
    V0_1(v0_1::ParticipantPre<Sandbox>),
    V0_2(v0_2::ParticipantPre<Sandbox>),
}

/// An instance of a component.
pub(super) enum BoundParticipant {
    V0_1(v0_1::Participant),
    V0_2(v0_2::Participant),
}

impl ParticipantPre {
    pub(super) fn new(
        version: ContractVersion,
        pre: InstancePre<Sandbox>,
    ) -> wasmtime::Result<Self> {
        match version {
            ContractVersion::V0_1 => v0_1::ParticipantPre::new(pre).map(Self::V0_1),
            ContractVersion::V0_2 => v0_2::ParticipantPre::new(pre).map(Self::V0_2),
        }
    }

    pub(super) fn instantiate(
        &self,
        store: &mut Store<Sandbox>,
    ) -> wasmtime::Result<BoundParticipant> {
        match self {
            Self::V0_1(pre) => pre.instantiate(store).map(BoundParticipant::V0_1),
            Self::V0_2(pre) => pre.instantiate(store).map(BoundParticipant::V0_2),
        }
    }
}

impl BoundParticipant {
    pub(super) fn describe(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Description> {
        match self {
            Self::V0_1(participant) => v0_1::describe(participant, store),
            Self::V0_2(participant) => v0_2::describe(participant, store),
        }
    }

    /// `settings` is the JSON text of all settings of the rules.
    pub(super) fn handle(
        &self,
        store: &mut Store<Sandbox>,
        state: Option<&str>,
        message: &Message,
        settings: &str,
    ) -> wasmtime::Result<Result<Outcome, Disposition>> {
        match self {
            Self::V0_1(participant) => v0_1::handle(participant, store, state, message),
            Self::V0_2(participant) => v0_2::handle(participant, store, state, message, settings),
        }
    }

    pub(super) fn migrate(
        &self,
        store: &mut Store<Sandbox>,
        version: u32,
        state: &str,
    ) -> wasmtime::Result<Result<String, Disposition>> {
        match self {
            Self::V0_1(participant) => v0_1::migrate(participant, store, version, state),
            Self::V0_2(participant) => v0_2::migrate(participant, store, version, state),
        }
    }
}
