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
use crate::base::machine;

/// The WASI version that wasmtime-wasi links; older minor versions are served by it too.
const WASI_POLL: &str = "wasi:io/poll@0.2.12";

/// Handles that one instance may hold, to streams and the like. Each takes some 200 bytes of the host's memory, which the
/// limit of the guest's own does not know of.
pub(super) const HANDLES: usize = 50_000;

/// Calls into WASI after which an instance is renewed. A call leaves two handles at most, so that the table is at most half full by then, but for
/// the last turn's.
const WASI_CALLS: usize = HANDLES / 4;

/// The host's side of one instance.
pub struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Calls into WASI since the instance was made.
    wasi_calls: usize,
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
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            wasi,
            table,
            wasi_calls: 0,
            clock,
            memory: MemoryLimit::new(memory_bytes),
            last_words,
        }
    }

    /// Whether its guest may hold so many handles that the next turns could find no room for theirs.
    pub(super) fn may_hold_many_handles(&self) -> bool {
        self.wasi_calls > WASI_CALLS
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
        self.wasi_calls = self.wasi_calls.saturating_add(1);
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
    /// What all memories of the instance have.
    pub(super) used: usize,
    /// What the largest of them has; each is bounded by itself.
    pub(super) largest: usize,
    pub(super) refused: bool,
    /// What the machine lacked, where it did.
    pub(super) lacked: Option<String>,
}

/// Entries of all tables of one instance; a component of the SDK has about a hundred.
const TABLE_ENTRIES: usize = 100_000;

impl MemoryLimit {
    fn new(bytes: usize) -> Self {
        Self {
            bytes,
            used: 0,
            largest: 0,
            refused: false,
            lacked: None,
        }
    }

    /// What could not be had was allowed. That the machine does not have it ends the call: rules that were told would make a
    /// decision of it (invariant 5).
    fn failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.lacked = error.chain().find_map(machine::lack_in);
        if self.lacked.is_some() {
            return Err(error);
        }
        self.refused = true;
        Ok(())
    }
}

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes && max.is_none_or(|max| desired <= max);
        if allowed {
            self.used = self.used.saturating_add(desired.saturating_sub(current));
            self.largest = self.largest.max(desired);
        }
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(error)
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

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed(error)
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
