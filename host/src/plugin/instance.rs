//! One instance of a component: the thing that is called.
//!
//! An instance is reused from turn to turn, which costs a call 2 microseconds instead of 40. After a
//! fault it is thrown away and the next call makes a new one, so that what a broken turn left in
//! its memory is seen by no other (invariant 8).

use saga_core::message::Message;
use saga_core::outcome::Disposition;
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use wasmtime::{Store, Trap};

use super::bindings::{self, Participant, ParticipantPre};
use super::engine::Runtime;
use super::sandbox::Sandbox;

/// An instance, made when it is first called.
pub struct Instance {
    runtime: Runtime,
    pre: ParticipantPre<Sandbox>,
    live: Option<(Store<Sandbox>, Participant)>,
}

impl Instance {
    pub(super) fn new(runtime: Runtime, pre: ParticipantPre<Sandbox>) -> Self {
        Self {
            runtime,
            pre,
            live: None,
        }
    }

    /// Makes the instance now, so that the first call need not. What goes wrong is found by that call.
    pub(super) fn prepare(&mut self) {
        if self.live.is_none() {
            self.live = self.instantiate().ok();
        }
    }

    /// Asks the component what it is.
    ///
    /// # Errors
    /// A [`Fault`] when it breaks.
    pub fn describe(&mut self) -> Result<saga_core::description::Description, Fault> {
        self.call(0, |participant, store| {
            participant.saga_participant_rules().call_describe(store)
        })
        .map(|(description, _)| bindings::description(description))
    }

    /// One call under the limits of a turn; gives its result and the fuel it used.
    fn call<T>(
        &mut self,
        time: u64,
        call: impl FnOnce(&Participant, &mut Store<Sandbox>) -> wasmtime::Result<T>,
    ) -> Result<(T, u64), Fault> {
        let limits = *self.runtime.limits();
        let (mut store, participant) = match self.live.take() {
            Some(live) => live,
            None => self.instantiate()?,
        };
        store.data_mut().begin_turn(time);
        store.set_epoch_deadline(self.runtime.deadline_ticks());
        let result = store
            .set_fuel(limits.fuel)
            .and_then(|()| call(&participant, &mut store));
        match result {
            Ok(value) => {
                let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
                self.live = Some((store, participant));
                Ok((value, fuel))
            }
            // `live` stays empty: the instance is gone.
            Err(error) => Err(fault(&error, &store, &limits)),
        }
    }

    fn instantiate(&self) -> Result<(Store<Sandbox>, Participant), Fault> {
        let limits = self.runtime.limits();
        let mut store = Store::new(self.runtime.engine(), Sandbox::new(limits.memory_bytes));
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(limits.answer_bytes);
        store.set_epoch_deadline(self.runtime.deadline_ticks());
        let result = store
            .set_fuel(limits.fuel)
            .and_then(|()| self.pre.instantiate(&mut store));
        match result {
            Ok(participant) => Ok((store, participant)),
            Err(error) => Err(fault(&error, &store, limits)),
        }
    }
}

impl Rules for Instance {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let parameters = bindings::parameters(message);
        let (answer, fuel) = self.call(message.time, |participant, store| {
            let message = bindings::message(message, &parameters);
            participant
                .saga_participant_rules()
                .call_handle(store, state, message)
        })?;
        Ok(Decision {
            answer: answer.map(bindings::outcome).map_err(bindings::disposition),
            fuel,
        })
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let (answer, _) = self.call(0, |participant, store| {
            participant
                .saga_participant_rules()
                .call_migrate(store, version, state)
        })?;
        answer.map_err(|disposition| {
            let reason = match bindings::disposition(disposition) {
                Disposition::Malformed(reason) | Disposition::RetryLater(reason) => reason,
            };
            Fault::new(
                FaultKind::Migration,
                format!("state of version {version}: {reason}"),
            )
        })
    }
}

/// Tells what kind of break it was.
fn fault(error: &wasmtime::Error, store: &Store<Sandbox>, limits: &super::GuestLimits) -> Fault {
    if store.data().memory.refused {
        return Fault::new(
            FaultKind::OutOfMemory,
            format!(
                "wanted more than its {} bytes of memory",
                limits.memory_bytes
            ),
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::new(
            FaultKind::OutOfFuel,
            format!("used up its {} units of fuel", limits.fuel),
        ),
        Some(Trap::Interrupt) => Fault::new(
            FaultKind::Deadline,
            format!("took longer than {} ms", limits.deadline_ms),
        ),
        Some(trap) => {
            // Rust rules that panic say why on standard error and then run into an unreachable.
            let words = store.data().last_words.text();
            Fault::new(
                FaultKind::Trap,
                words.map_or_else(|| trap.to_string(), |words| format!("{trap}: {words}")),
            )
        }
        // The copying of an answer stops with this text; there is no type to match on.
        None if error.to_string().contains("fuel allocated for hostcalls") => Fault::new(
            FaultKind::OutputTooLarge,
            format!("answered more than {} bytes", limits.answer_bytes),
        ),
        // The root says why; what is around it is a backtrace of the guest, in names of its compiler.
        None => Fault::new(FaultKind::Trap, error.root_cause().to_string()),
    }
}
