//! One callable instance of a component.
//!
//! An instance is reused from turn to turn, so that a call costs 2 microseconds instead of 40.
//! After a fault it is discarded and the next call creates a new one, so that no other turn sees
//! the memory of a faulted one (invariant 8).
//!
//! Leftovers of earlier turns may be why a reused instance faults: memory that is never freed,
//! handles that are never closed. Such a fault counts only after the same call has faulted on a
//! fresh instance too (invariant 5). An instance with many leftovers is renewed between two turns,
//! before it is full.

use std::sync::Arc;

use saga_core::message::Message;
use saga_core::outcome::Disposition;
use saga_core::rules::{Decision, Fault, FaultKind, Renewal, Rules, Upkeep};
use wasmtime::Store;

use super::bindings::{Participant, ParticipantPre};
use super::engine::Runtime;
use super::fault::{self, out_of_memory};
use super::sandbox::{HANDLES, Sandbox};

/// An instance, created on its first call.
pub struct Instance {
    runtime: Runtime,
    pre: ParticipantPre,
    /// JSON text of the settings of the rules.
    settings: Arc<str>,
    live: Option<Live>,
    /// True if the last call ran on a reused instance.
    was_reused: bool,
    renewed: [u32; Renewal::ALL.len()],
}

struct Live {
    store: Store<Sandbox>,
    participant: Participant,
    /// Size of its largest memory after its first call, in bytes; `None` before.
    first: Option<usize>,
}

impl Live {
    /// The reason to renew it, if half of the memory that its first call left free is used up. The
    /// first call's need is every instance's need.
    fn is_full(&mut self, memory_bytes: usize) -> Option<Renewal> {
        let sandbox = self.store.data();
        let largest = sandbox.memory.largest;
        let first = *self.first.get_or_insert(largest);
        if largest.saturating_sub(first) > memory_bytes.saturating_sub(first) / 2 {
            return Some(Renewal::Memory);
        }
        sandbox.may_hold_many_handles().then_some(Renewal::Handles)
    }
}

impl Instance {
    pub(super) fn new(runtime: Runtime, pre: ParticipantPre, settings: Arc<str>) -> Self {
        Self {
            runtime,
            pre,
            settings,
            live: None,
            was_reused: false,
            renewed: [0; Renewal::ALL.len()],
        }
    }

    /// Calls `describe`.
    ///
    /// # Errors
    /// A [`Fault`] if it faults.
    pub fn describe(&mut self) -> Result<saga_contract::description::Description, Fault> {
        self.call(0, Participant::describe)
            .map(|(description, _)| description)
    }

    /// One call under the limits of a turn, or two if the first faulted on a reused instance;
    /// returns the result and the fuel used.
    fn call<T>(
        &mut self,
        time: u64,
        call: impl Fn(&Participant, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), Fault> {
        let result = self.call_once(time, &call);
        match result {
            // A missed deadline may be the machine's fault, and the caller retries it.
            Err(fault) if self.was_reused && fault.kind != FaultKind::Deadline => {
                tracing::debug!(%fault, "a reused instance broke; a fresh one is asked");
                self.call_once(time, &call)
            }
            result => result,
        }
    }

    fn call_once<T>(
        &mut self,
        time: u64,
        call: impl Fn(&Participant, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), Fault> {
        let limits = *self.runtime.limits();
        self.was_reused = (self.live.as_ref()).is_some_and(|live| live.first.is_some());
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.instantiate()?,
        };
        let store = &mut live.store;
        store.data_mut().begin_turn(time);
        store.set_epoch_deadline(self.runtime.deadline_ticks());
        let result = store
            .set_fuel(limits.fuel)
            .and_then(|()| call(&live.participant, store));
        let value = match result {
            // `live` stays empty: the instance is discarded.
            Err(error) => return Err(self.broke(fault::of(&error, store, &limits))),
            // The rules did without the memory that they asked for, which a fresh instance might
            // have had.
            Ok(_) if self.was_reused && store.data().memory.refused => {
                return Err(self.broke(out_of_memory(&limits)));
            }
            Ok(value) => value,
        };
        self.runtime.machine().report_success();
        let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        match live.is_full(limits.memory_bytes) {
            Some(renewal) => self.count(renewal),
            None => self.live = Some(live),
        }
        Ok((value, fuel))
    }

    fn broke(&mut self, fault: Fault) -> Fault {
        self.count(Renewal::Fault);
        if fault.kind == FaultKind::Machine {
            self.runtime.machine().report_shortage(&fault.detail);
        }
        fault
    }

    fn count(&mut self, renewal: Renewal) {
        if let Some(count) = self.renewed.get_mut(renewal as usize) {
            *count = count.saturating_add(1);
        }
    }

    fn instantiate(&self) -> Result<Live, Fault> {
        let limits = self.runtime.limits();
        let mut store = Store::new(self.runtime.engine(), Sandbox::new(limits.memory_bytes));
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(limits.answer_bytes);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(self.runtime.deadline_ticks());
        let result = store
            .set_fuel(limits.fuel)
            .and_then(|()| self.pre.instantiate(&mut store));
        match result {
            Ok(participant) => Ok(Live {
                store,
                participant,
                first: None,
            }),
            Err(error) => {
                let fault = fault::of(&error, &store, limits);
                if fault.kind == FaultKind::Machine {
                    self.runtime.machine().report_shortage(&fault.detail);
                }
                Err(fault)
            }
        }
    }
}

impl Rules for Instance {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let settings = self.settings.clone();
        let (answer, fuel) = self.call(message.time, |participant, store| {
            participant.handle(store, state, message, &settings)
        })?;
        Ok(Decision { answer, fuel })
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let (answer, _) = self.call(0, |participant, store| {
            participant.migrate(store, version, state)
        })?;
        answer.map_err(|disposition| {
            let reason = match disposition {
                Disposition::Malformed(reason) | Disposition::RetryLater(reason) => reason,
            };
            Fault::new(
                FaultKind::Migration,
                format!("state of version {version}: {reason}"),
            )
        })
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        if self.live.is_none() {
            self.live = Some(self.instantiate()?);
        }
        self.runtime.machine().report_success();
        Ok(())
    }

    fn renew(&mut self) -> bool {
        if !std::mem::take(&mut self.was_reused) {
            return false;
        }
        if self.live.take().is_some() {
            self.count(Renewal::Fault);
        }
        true
    }

    fn upkeep(&mut self) -> Upkeep {
        let live = self.live.as_ref();
        Upkeep {
            memory_bytes: live.map_or(0, |live| live.store.data().memory.used),
            renewed: std::mem::take(&mut self.renewed),
        }
    }
}
