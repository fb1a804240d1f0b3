//! Classification of faults, by wasmtime's error and the sandbox's observations.

use saga_core::rules::{Fault, FaultKind};
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap};

use super::engine::GuestLimits;
use super::sandbox::{HANDLES, Sandbox};
use crate::base::machine;

/// The fault of a call that ended with this error.
pub(super) fn of(error: &wasmtime::Error, store: &Store<Sandbox>, limits: &GuestLimits) -> Fault {
    let memory = &store.data().memory;
    // First: a shortage of the machine is never charged to the rules (invariant 12).
    if let Some(lack) =
        (memory.lacked.clone()).or_else(|| error.chain().find_map(machine::shortage_in))
    {
        return Fault::new(FaultKind::Machine, lack);
    }
    if memory.refused {
        return out_of_memory(limits);
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
        Some(Trap::StackOverflow) => Fault::new(
            FaultKind::Trap,
            format!(
                "used up its {} bytes of stack (`guest.stack_bytes`): it recurses too deeply",
                limits.stack_bytes
            ),
        ),
        Some(trap) => trapped(&trap.to_string(), store),
        None if is_full_of_handles(error) => Fault::new(
            FaultKind::OutOfMemory,
            format!("wanted more than its {HANDLES} handles"),
        ),
        // Copying an answer stops with this text; there is no error type to match on.
        None if error.to_string().contains("fuel allocated for hostcalls") => Fault::new(
            FaultKind::OutputTooLarge,
            format!("answered more than {} bytes", limits.answer_bytes),
        ),
        // The root has the reason; its contexts are a guest backtrace with mangled names.
        None => trapped(&error.root_cause().to_string(), store),
    }
}

/// The fault of a guest that trapped. What it wrote to standard error says why: Rust rules that panic
/// print the reason and then trap on `unreachable`. What the SDK of another language says is the whole
/// reason.
fn trapped(cause: &str, store: &Store<Sandbox>) -> Fault {
    let stderr = &store.data().stderr;
    let told = stderr.told_by_sdk();
    let told = told.or_else(|| Some(format!("{cause}: {}", stderr.text()?)));
    Fault::new(FaultKind::Trap, told.unwrap_or_else(|| cause.to_owned()))
}

/// The fault of a guest that exceeded its memory limit.
pub(super) fn out_of_memory(limits: &GuestLimits) -> Fault {
    Fault::new(
        FaultKind::OutOfMemory,
        format!(
            "wanted more than its {} bytes of memory",
            limits.memory_bytes
        ),
    )
}

fn is_full_of_handles(error: &wasmtime::Error) -> bool {
    let is_full = |error: &ResourceTableError| matches!(error, ResourceTableError::Full);
    error.downcast_ref().is_some_and(is_full)
        // The guest's own table; there is no error type to match on.
        || error.root_cause().to_string().contains("store handle limit exceeded")
}
