//! The host's side of an instance, which grants nothing (invariant 7).
//!
//! `wasm32-wasip2` links the standard library against WASI even if the rules don't use it, so WASI
//! is provided, with nothing granted: no files, no network, no environment, no arguments; standard
//! error is kept for the text of a fault and goes nowhere else. The clocks show the time of the
//! turn, and random numbers follow from its message ([`super::turn_input`]). The seed of hash maps
//! is constant, so that a hash map iterates in the same order on every machine. Waiting traps.
//!
//! Toolchains of other languages link more of WASI (sockets, HTTP), whether the rules use it or
//! not. Sockets are provided with every address denied; a function of any other WASI interface
//! traps with its name ([`super::ungranted`]).

use saga_core::message::Message;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::guest_stderr::GuestStderr;
use super::turn_input::{TurnClock, TurnRandom};
use crate::base::machine;

/// The WASI version that wasmtime-wasi links; it serves older minor versions too.
const WASI_POLL: &str = "wasi:io/poll@0.2.12";

/// Most handles of one instance, to streams and the like. Each takes some 200 bytes of the host's
/// memory, which the guest's memory limit does not cover.
pub(super) const HANDLES: usize = 50_000;

/// Calls into WASI after which an instance is renewed. A call leaves two handles at most, so the
/// table is then at most half full, not counting the last turn.
const WASI_CALLS: usize = HANDLES / 4;

/// The host's side of one instance.
pub struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Calls into WASI since the instance was created.
    wasi_calls: usize,
    clock: TurnClock,
    random: TurnRandom,
    pub(super) memory: MemoryLimit,
    pub(super) stderr: GuestStderr,
}

impl Sandbox {
    /// A sandbox whose guest may use this many bytes of linear memory.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        let clock = TurnClock::default();
        let random = TurnRandom::default();
        let stderr = GuestStderr::default();
        let wasi = WasiCtxBuilder::new()
            .stderr(stderr.clone())
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .secure_random(random.clone())
            .insecure_random(random.clone())
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
            random,
            memory: MemoryLimit::new(memory_bytes),
            stderr,
        }
    }

    /// True if its guest may hold so many handles that the next turns could run out.
    pub(super) fn may_hold_many_handles(&self) -> bool {
        self.wasi_calls > WASI_CALLS
    }

    /// Prepares for a call: on this message, or on none.
    pub fn begin_call(&mut self, message: Option<&Message>) {
        self.clock
            .stop_at(message.map_or(0, |message| message.time));
        self.random.begin(message);
        self.memory.refused = false;
        self.stderr.clear();
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
    // A sleeping guest would block its thread in a host call, which neither fuel nor epoch
    // interrupts.
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

/// Refuses memory beyond a bound and records that, which distinguishes the resulting trap from
/// others.
pub(super) struct MemoryLimit {
    bytes: usize,
    /// Size of all memories of the instance.
    pub(super) used: usize,
    /// Size of the largest memory; each is bounded by itself.
    pub(super) largest: usize,
    pub(super) refused: bool,
    /// The resource that the machine was out of, if it was.
    pub(super) lacked: Option<String>,
}

/// Most entries of a table of one instance; an SDK component has about a hundred.
pub(super) const TABLE_ENTRIES: usize = 100_000;

/// Most modules, memories and tables of one instance. Adapters in a component may add a memory to
/// that of the rules; each is bounded by itself.
pub(super) const CORE_INSTANCES: usize = 64;
pub(super) const MEMORIES: usize = 4;
pub(super) const TABLES: usize = 16;

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

    /// Called if allowed memory could not be allocated. A shortage of the machine ends the call:
    /// rules that saw it would decide on it (invariant 5).
    fn failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.lacked = error.chain().find_map(machine::shortage_in);
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
        CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }
}
