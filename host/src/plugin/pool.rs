//! A pool of memory for instances that live for one call.
//!
//! A fresh instance costs a mapping of its memory, its tables and the page faults of their first
//! use. In the pool these are mapped once and reset after each call, by copying back the pages that
//! the call wrote. The pool is an engine of its own, so that instances that are reused cost what
//! they did; both run the same compiled code. Where the pool has no room, or can't hold a component,
//! an instance is made without it.

use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use wasmtime::{InstanceAllocationStrategy, PoolConcurrencyLimitError, PoolingAllocationConfig};

use super::bindings::{ContractVersion, ParticipantPre};
use super::engine::{self, GuestLimits, Ticker};
use super::reservation::Reservation;
use super::sandbox::{self, CORE_INSTANCES, MEMORIES, Sandbox, TABLE_ENTRIES, TABLES};
use super::ungranted;

/// Bytes of a memory that stay mapped after a call, if the call wrote there. More are unmapped.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes of a table that stay mapped.
const KEPT_TABLE_BYTES: usize = 64 << 10;

/// A pool of memory for instances; clones share it.
#[derive(Clone)]
pub(super) struct Pool {
    engine: wasmtime::Engine,
    linker: Arc<Linker<Sandbox>>,
    _ticker: Arc<Ticker>,
}

impl Pool {
    /// A pool for this number of instances at a time, each with these limits.
    ///
    /// # Errors
    /// If the address space for them can't be reserved.
    pub(super) fn new(
        instances: u32,
        limits: &GuestLimits,
        reservation: Reservation,
    ) -> wasmtime::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        let of_each = |most: usize| {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            instances.saturating_mul(most)
        };
        pool.total_component_instances(instances)
            .total_core_instances(of_each(CORE_INSTANCES))
            // Nearly all components have one memory, and each costs address space.
            .total_memories(instances)
            .total_tables(of_each(TABLES))
            .max_memories_per_module(MEMORIES as u32)
            .max_tables_per_module(TABLES as u32)
            .table_elements(TABLE_ENTRIES)
            .max_memory_size(limits.memory_bytes)
            .linear_memory_keep_resident(KEPT_BYTES)
            .table_keep_resident(KEPT_TABLE_BYTES);
        let strategy = InstanceAllocationStrategy::Pooling(pool);
        let engine = engine::engine_with(
            strategy,
            limits.memory_bytes,
            limits.stack_bytes,
            reservation,
        )?;
        Ok(Self {
            linker: Arc::new(sandbox::linker(&engine)?),
            _ticker: Arc::new(Ticker::start(&engine)?),
            engine,
        })
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// A component for instances in this pool.
    ///
    /// # Errors
    /// If the pool can't hold it: it has more memories, say.
    pub(super) fn prepare(
        &self,
        component: &Component,
        version: ContractVersion,
    ) -> wasmtime::Result<ParticipantPre> {
        let component = super::compile::moved(component, &self.engine)?;
        let linker = ungranted::refusing(&self.linker, &component)?;
        ParticipantPre::new(version, linker.instantiate_pre(&component)?)
    }
}

/// True if an instance could not be made because the pool has no room.
pub(super) fn is_full(error: &wasmtime::Error) -> bool {
    error.is::<PoolConcurrencyLimitError>()
}
