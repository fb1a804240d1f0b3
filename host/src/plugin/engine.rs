//! The wasmtime engine of the process, its settings, and the ticker that advances its epoch. A
//! second one ([`super::pool`]) runs the same code.
//!
//! Fuel limits a turn and is a function of the input; the epoch is the wall-clock backstop.
//! Everything that could make two runs of a turn differ is off: threads, relaxed SIMD, NaN bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasmtime::InstanceAllocationStrategy;
use wasmtime::component::Linker;

use super::pool::Pool;
use super::reservation::Reservation;
use super::sandbox::{self, Sandbox};
use crate::base::machine::Machine;

/// The engine and its version, as the build found it.
pub(super) const ENGINE: &str = concat!("wasmtime ", env!("SAGA_WASMTIME"));

/// Interval of the epoch: the resolution of the wall-clock backstop.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Default stack of a guest in bytes: some 2,500 levels of calls in QuickJS, which takes most.
const GUEST_STACK_BYTES: usize = 2 << 20;

/// Largest stack of a guest in bytes. The threads that call guests have [`panics::STACK_BYTES`], a
/// megabyte more than this, so that deep recursion traps long before their own stack ends.
///
/// [`panics::STACK_BYTES`]: crate::base::panics::STACK_BYTES
pub const MOST_STACK_BYTES: usize = 3 << 20;

/// Limits of one guest call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuestLimits {
    /// Fuel of one turn; one unit is about one wasm instruction.
    #[schemars(range(min = 1_000, max = i64::MAX))]
    pub fuel: u64,
    /// Wall-clock backstop of one turn, in milliseconds.
    #[schemars(range(min = 10, max = 600_000))]
    pub deadline_ms: u64,
    /// Bytes of linear memory of one instance.
    #[schemars(range(min = 1 << 16, max = 4_i64 << 30))]
    pub memory_bytes: usize,
    /// Bytes of stack of one call. Deeper recursion is a fault.
    #[schemars(range(min = 64 << 10, max = MOST_STACK_BYTES))]
    pub stack_bytes: usize,
    /// Bytes of one answer, all strings and lists together, when it is copied out of the guest.
    #[schemars(range(min = 1 << 10, max = 1 << 30))]
    pub answer_bytes: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        // An ordinary decision takes about 20,000 units of fuel and 3 microseconds.
        Self {
            fuel: 200_000_000,
            deadline_ms: 2_000,
            memory_bytes: 64 << 20,
            stack_bytes: GUEST_STACK_BYTES,
            answer_bytes: 4 << 20,
        }
    }
}

/// The engine, its linker and its limits. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: wasmtime::Engine,
    linker: Arc<Linker<Sandbox>>,
    limits: GuestLimits,
    reservation: Reservation,
    machine: Machine,
    /// Memory for instances that live for one call.
    pool: Option<Pool>,
    _ticker: Arc<Ticker>,
}

/// The engine for instances with this memory limit and this reservation of address space. All
/// settings that affect compiled code are here.
pub(super) fn engine(
    memory_bytes: usize,
    reservation: Reservation,
) -> wasmtime::Result<wasmtime::Engine> {
    let on_demand = InstanceAllocationStrategy::OnDemand;
    engine_with(on_demand, memory_bytes, GUEST_STACK_BYTES, reservation)
}

/// The same, whose instances get their memory this way, and whose calls have this stack. The stack
/// does not affect compiled code.
pub(super) fn engine_with(
    strategy: InstanceAllocationStrategy,
    memory_bytes: usize,
    stack_bytes: usize,
    reservation: Reservation,
) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = wasmtime::Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(stack_bytes)
        // Calls run on the stack of their thread; wasmtime only checks that this is not less.
        .async_stack_size(MOST_STACK_BYTES)
        .allocation_strategy(strategy);
    reservation.configure(&mut config, memory_bytes);
    wasmtime::Engine::new(&config)
}

impl Runtime {
    /// Creates the engine and starts its ticker. Instances reserve all address space that helps
    /// their speed.
    ///
    /// # Errors
    /// If wasmtime can't run with these settings on this machine.
    pub fn new(limits: GuestLimits) -> wasmtime::Result<Self> {
        Self::with(limits, Reservation::Whole, Machine::default())
    }

    /// The same, with this reservation of address space; instances report shortages to `machine`.
    ///
    /// # Errors
    /// As [`Runtime::new`].
    pub fn with(
        limits: GuestLimits,
        reservation: Reservation,
        machine: Machine,
    ) -> wasmtime::Result<Self> {
        let on_demand = InstanceAllocationStrategy::OnDemand;
        let engine = engine_with(
            on_demand,
            limits.memory_bytes,
            limits.stack_bytes,
            reservation,
        )?;
        let linker = Arc::new(sandbox::linker(&engine)?);
        let ticker = Arc::new(Ticker::start(&engine)?);
        Ok(Self {
            engine,
            linker,
            limits,
            reservation,
            machine,
            pool: None,
            _ticker: ticker,
        })
    }

    /// The same with a pool of memory for this number of instances that live for one call. Without
    /// address space for it they get their memory as all others do.
    #[must_use]
    pub fn pooled(self, instances: usize) -> Self {
        let instances = u32::try_from(instances).unwrap_or(u32::MAX);
        let pool = Pool::new(instances, &self.limits, self.reservation);
        let pool = pool.inspect_err(|error| {
            tracing::warn!(
                instances,
                error = format!("{error:#}"),
                "there is no pool for fresh instances; each is mapped anew"
            );
        });
        Self {
            pool: pool.ok(),
            ..self
        }
    }

    pub(super) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// Address space that one instance reserves, in bytes.
    #[must_use]
    pub fn instance_bytes(&self) -> u64 {
        self.reservation.bytes(self.limits.memory_bytes)
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn linker(&self) -> &Linker<Sandbox> {
        &self.linker
    }

    /// Limits of one call.
    #[must_use]
    pub fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    /// The backstop in epoch ticks, plus one, since the first tick is partial.
    pub(super) fn deadline_ticks(&self) -> u64 {
        self.limits
            .deadline_ms
            .div_ceil(EPOCH_TICK.as_millis() as u64)
            + 1
    }
}

/// Advances the epoch until it is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    pub(super) fn start(engine: &wasmtime::Engine) -> wasmtime::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // A weak reference, so that the ticker does not keep the engine alive.
        let engine = engine.weak();
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(EPOCH_TICK);
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                }
            })?;
        Ok(Self { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
