//! One callable instance of a component.
//!
//! An instance is reused from turn to turn, so that a call costs a few microseconds, unless each
//! call is to have an instance of its own ([`InstanceUse::Fresh`]). After a fault it is discarded
//! and the next call creates a new one, so that no other turn sees the memory of a faulted one
//! (invariant 8).
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

use super::bindings::{BoundParticipant, ParticipantPre};
use super::engine::Runtime;
use super::fault::{self, out_of_memory};
use super::pool;
use super::sandbox::{HANDLES, Sandbox};

/// The use of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceUse {
    /// For call after call.
    Reused,
    /// For one call.
    Fresh,
}

/// A component whose instances can be made.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) pre: ParticipantPre,
    /// For instances in the pool; `None` if it can't hold them, or there is none.
    pub(super) pooled: Option<ParticipantPre>,
}

/// An instance, created on its first call.
pub struct Instance {
    runtime: Runtime,
    prepared: Prepared,
    instance_use: InstanceUse,
    /// JSON text of the settings of the rules.
    settings: Arc<str>,
    live: Option<Live>,
    /// True if the last call ran on a reused instance.
    was_reused: bool,
    renewed: [u32; Renewal::ALL.len()],
}

struct Live {
    store: Store<Sandbox>,
    participant: BoundParticipant,
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
    pub(super) fn new(
        runtime: Runtime,
        prepared: Prepared,
        instance_use: InstanceUse,
        settings: Arc<str>,
    ) -> Self {
        Self {
            runtime,
            prepared,
            instance_use,
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
        self.call(None, BoundParticipant::describe)
            .map(|(description, _)| description)
    }

    /// One call under the limits of a turn, or two if the first faulted on a reused instance;
    /// returns the result and the fuel used.
    fn call<T>(
        &mut self,
        message: Option<&Message>,
        call: impl Fn(&BoundParticipant, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), Fault> {
        let result = self.call_once(message, &call);
        match result {
            // A missed deadline may be the machine's fault, and the caller retries it.
            Err(fault) if self.was_reused && fault.kind != FaultKind::Deadline => {
                tracing::debug!(%fault, "a reused instance broke; a fresh one is asked");
                self.call_once(message, &call)
            }
            result => result,
        }
    }

    fn call_once<T>(
        &mut self,
        message: Option<&Message>,
        call: impl Fn(&BoundParticipant, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), Fault> {
        let limits = *self.runtime.limits();
        self.was_reused = (self.live.as_ref()).is_some_and(|live| live.first.is_some());
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.instantiate()?,
        };
        let store = &mut live.store;
        store.data_mut().begin_call(message);
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
        if self.instance_use == InstanceUse::Reused {
            match live.is_full(limits.memory_bytes) {
                Some(renewal) => self.count(renewal),
                None => self.live = Some(live),
            }
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

    /// Makes an instance: for one call in the pool, if that has room.
    fn instantiate(&self) -> Result<Live, Fault> {
        let (limits, machine) = (self.runtime.limits(), self.runtime.machine());
        let pooled = self.prepared.pooled.as_ref().zip(self.runtime.pool());
        let pooled = pooled.filter(|_| self.instance_use == InstanceUse::Fresh);
        let made = pooled.map(|(pre, pool)| self.instance_in(pool.engine(), pre));
        let made = match made {
            Some(Err((error, _))) if pool::is_full(&error) => None,
            made => made,
        };
        let made =
            made.unwrap_or_else(|| self.instance_in(self.runtime.engine(), &self.prepared.pre));
        made.map_err(|(error, store)| {
            let fault = fault::of(&error, &store, limits);
            if fault.kind == FaultKind::Machine {
                machine.report_shortage(&fault.detail);
            }
            fault
        })
    }

    fn instance_in(
        &self,
        engine: &wasmtime::Engine,
        pre: &ParticipantPre,
    ) -> Result<Live, (wasmtime::Error, Box<Store<Sandbox>>)> {
        let limits = self.runtime.limits();
        let mut store = Store::new(engine, Sandbox::new(limits.memory_bytes));
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(limits.answer_bytes);
        store.set_max_component_handles(HANDLES);
        store.set_epoch_deadline(self.runtime.deadline_ticks());
        let result = store
            .set_fuel(limits.fuel)
            .and_then(|()| pre.instantiate(&mut store));
        match result {
            Ok(participant) => Ok(Live {
                store,
                participant,
                first: None,
            }),
            Err(error) => Err((error, Box::new(store))),
        }
    }
}

impl Rules for Instance {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let settings = self.settings.clone();
        let (answer, fuel) = self.call(Some(message), |participant, store| {
            participant.handle(store, state, message, &settings)
        })?;
        Ok(Decision { answer, fuel })
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let (answer, _) = self.call(None, |participant, store| {
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
            let made = self.instantiate()?;
            // One that waits for its only call would take up room in the pool.
            self.live = Some(made).filter(|_| self.instance_use == InstanceUse::Reused);
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
