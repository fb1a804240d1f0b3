//! Limits of the machine and of the process, checked at the start: an error names the limit that is
//! too low (invariant 12).

use saga_core::rules::{FaultKind, Rules};

use super::StartError;
use crate::base::generation::CompiledRules;
use crate::base::machine::{self, Machine};
use crate::config::Config;
use crate::plugin::reservation::HOST;
use crate::rollout::loader::Loader;

/// File descriptors of a host other than those of its workers and connections: store, logs,
/// listeners, Kafka clients, and files that it opens for a moment.
const DESCRIPTORS: u64 = 96;

/// File descriptors of a worker: its connection to the store.
const DESCRIPTORS_OF_WORKER: u64 = 4;

/// Raises the limit of open files to what the process may have, and checks that it suffices for the
/// start.
///
/// # Errors
/// The limit that is too low.
pub fn allow_descriptors(config: &Config) -> Result<(), StartError> {
    let Some(limit) = machine::raise_descriptors() else {
        return Ok(());
    };
    let needed = descriptors(config);
    if limit <= needed {
        return Err(StartError::Machine(format!(
            "{limit} files may be open (ulimit -n); the host needs about {needed} and one for each connection: raise the \
             limit, or lower `instances` ({})",
            config.instances
        )));
    }
    let (wanted, connections) = (config.http.connections, connections(config));
    if connections < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections,
            "fewer files may be open (ulimit -n) than http.connections wants; clients beyond `connections` wait"
        );
    }
    Ok(())
}

/// Descriptors of a host other than those of its connections.
fn descriptors(config: &Config) -> u64 {
    let workers = (config.participants.len() as u64).saturating_mul(config.instances as u64);
    DESCRIPTORS.saturating_add(workers.saturating_mul(DESCRIPTORS_OF_WORKER))
}

/// Most connections of a participant's listener: the configured number, if there are descriptors
/// for it.
pub(super) fn connections(config: &Config) -> usize {
    let wanted = config.http.connections;
    let Some(limit) = machine::descriptors() else {
        return wanted;
    };
    let left = limit.saturating_sub(descriptors(config));
    let each = left
        .checked_div(config.participants.len() as u64)
        .unwrap_or(left);
    wanted
        .min(usize::try_from(each).unwrap_or(usize::MAX))
        .max(1)
}

/// The instances that are created at the start.
pub(super) struct InstanceBudget<'a> {
    machine: &'a Machine,
    /// Per participant.
    instances: usize,
    /// Workers of all participants.
    wanted: usize,
    made: usize,
    /// Address space that each instance reserves, in bytes.
    each: u64,
}

impl<'a> InstanceBudget<'a> {
    pub(super) fn new(config: &Config, loader: Option<&Loader>, machine: &'a Machine) -> Self {
        let instances = config.instances.max(1);
        Self {
            machine,
            instances,
            wanted: instances.saturating_mul(config.participants.len()),
            made: 0,
            each: loader.map_or(0, Loader::instance_bytes),
        }
    }

    /// Creates all instances of a participant.
    pub(super) fn instances(
        &mut self,
        name: &str,
        build: &dyn CompiledRules,
    ) -> Result<Vec<Box<dyn Rules + Send>>, StartError> {
        let mut instances = Vec::with_capacity(self.instances);
        while instances.len() < self.instances {
            match build.instance() {
                Ok(instance) => instances.push(instance),
                Err(fault) if fault.kind == FaultKind::Machine => {
                    return Err(StartError::Machine(self.wanting(name, &fault.detail)));
                }
                Err(fault) => {
                    let reason =
                        format!("{name}: an instance of its rules can't be created: {fault}");
                    return Err(StartError::Component(reason));
                }
            }
            self.made = self.made.saturating_add(1);
        }
        Ok(instances)
    }

    /// The resource that was missing when a participant's rules were loaded, if any was.
    pub(super) fn is_wanting(&self, name: &str) -> Option<String> {
        self.machine
            .shortage()
            .map(|lack| self.wanting(name, &lack))
    }

    fn wanting(&self, name: &str, lack: &str) -> String {
        // During a swap, the instances of both generations exist.
        let wanted = self.wanted.saturating_mul(2);
        let bytes = |instances: usize| self.each.saturating_mul(instances as u64);
        let needed = HOST.saturating_add(bytes(wanted));
        let more = bytes(wanted.saturating_sub(self.made));
        let limit = machine::address_space_is_too_small(needed, more).map_or_else(
            || "the machine has too little memory".to_owned(),
            |limit| format!("{limit}: raise the limit"),
        );
        format!(
            "{name}: instance {} of {} of the rules can't be created for lack of {lack}; {limit}, or lower `instances` ({}) \
             or `guest.memory_bytes`",
            self.made.saturating_add(1),
            self.wanted,
            self.instances
        )
    }
}
