//! What a component finds when it looks around: nothing (invariant 7).
//!
//! `wasm32-wasip2` links the standard library against WASI whether the rules use it or not, so WASI
//! is there, with nothing granted: no files, no network, no environment, no arguments; what it prints
//! is kept for the text of a fault and goes nowhere else. The clock shows the time of the turn. Random numbers are the same constant every time,
//! so that a hash map iterates in the same order on every machine. Waiting traps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand_core::TryRng;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};

use super::last_words::LastWords;

/// The WASI version that wasmtime-wasi links; older minor versions are served by it too.
const WASI_POLL: &str = "wasi:io/poll@0.2.12";

/// The host's side of one instance.
pub struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    clock: TurnClock,
    pub(super) memory: MemoryLimit,
    pub(super) last_words: LastWords,
}

impl Sandbox {
    /// A sandbox whose guest may use so many bytes of linear memory.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        let clock = TurnClock::default();
        let last_words = LastWords::default();
        let wasi = WasiCtxBuilder::new()
            .stderr(last_words.clone())
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .secure_random(Constant)
            .insecure_random(Constant)
            .insecure_random_seed(0)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        let memory = MemoryLimit {
            bytes: memory_bytes,
            refused: false,
        };
        Self {
            wasi,
            table: ResourceTable::new(),
            clock,
            memory,
            last_words,
        }
    }

    /// Prepares for a turn at this time, in milliseconds since the Unix epoch.
    pub fn begin_turn(&mut self, unix_millis: u64) {
        self.clock.0.store(unix_millis, Ordering::Relaxed);
        self.memory.refused = false;
        self.last_words.clear();
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// The linker with the sandbox's WASI in it.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::<Sandbox>::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // A guest that sleeps would hold its thread in a host call, where neither fuel nor epoch ends it.
    linker.allow_shadowing(true);
    let mut poll = linker.instance(WASI_POLL)?;
    poll.func_wrap(
        "poll",
        |_: wasmtime::StoreContextMut<'_, Sandbox>,
         _: (Vec<Resource<DynPollable>>,)|
         -> wasmtime::Result<(Vec<u32>,)> { Err(no_waiting()) },
    )?;
    poll.func_wrap(
        "[method]pollable.block",
        |_: wasmtime::StoreContextMut<'_, Sandbox>,
         _: (Resource<DynPollable>,)|
         -> wasmtime::Result<()> { Err(no_waiting()) },
    )?;
    linker.allow_shadowing(false);
    Ok(linker)
}

fn no_waiting() -> wasmtime::Error {
    wasmtime::Error::msg("rules may not wait: set a timer in the outcome instead")
}

/// Both clocks of the guest: they stand still at the time of the turn.
#[derive(Clone, Default)]
struct TurnClock(Arc<AtomicU64>);

impl HostWallClock for TurnClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl HostMonotonicClock for TurnClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_mul(1_000_000)
    }
}

/// A source of random numbers that always gives the same ones.
struct Constant;

impl TryRng for Constant {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0x5a5a_5a5a)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0x5a5a_5a5a_5a5a_5a5a)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0x5a);
        Ok(())
    }
}

/// Refuses memory beyond a bound and remembers that it did, so that the trap which follows can be
/// told from others.
pub(super) struct MemoryLimit {
    bytes: usize,
    pub(super) refused: bool,
}

/// Entries of all tables of one instance; a component of the SDK has about a hundred.
const TABLE_ENTRIES: usize = 100_000;

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= TABLE_ENTRIES;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        // One of the rules; adapters in a component may bring another. Each is bounded by itself.
        2
    }

    fn tables(&self) -> usize {
        16
    }
}
