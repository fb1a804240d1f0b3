//! Address space that an instance reserves for its memory.
//!
//! With 4 GiB and a guard region, compiled code needs no bounds checks: a 32-bit address can't
//! leave the reservation. That is address space only, and free unless it is limited. If it is, an
//! instance reserves as much as its memory limit, and its code checks bounds.

/// Wasmtime's default reservation for a memory, and the guard on each side of it.
const WHOLE: u64 = 4 << 30;
const WHOLE_GUARD: u64 = 32 << 20;

/// The guard of a small reservation: accesses at a constant offset below it need one check.
const SMALL_GUARD: u64 = 64 << 10;

/// A page of WebAssembly.
const PAGE: u64 = 64 << 10;

/// Address space for the host other than its instances: code, threads, the store, the Kafka client;
/// the allocator reserves half of it at once.
pub const HOST: u64 = 2 << 30;

/// Reservation of address space per instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// All that a guest can address.
    Whole,
    /// As much as its memory limit.
    Small,
}

impl Reservation {
    /// The reservation with which twice this number of instances fits into this address space,
    /// since both generations exist during a swap.
    #[must_use]
    pub fn fitting(instances: usize, address_space: Option<u64>) -> Self {
        let whole = Self::Whole.bytes(0).saturating_mul(instances as u64);
        match address_space {
            Some(limit) if limit < whole.saturating_mul(2).saturating_add(HOST) => Self::Small,
            _ => Self::Whole,
        }
    }

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Small => "small",
        }
    }

    /// The reservation for this word.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        [Self::Whole, Self::Small]
            .into_iter()
            .find(|reservation| reservation.word() == word)
    }

    /// Address space of one instance with this memory limit, in bytes.
    #[must_use]
    pub fn bytes(self, memory_bytes: usize) -> u64 {
        match self {
            Self::Whole => WHOLE + 2 * WHOLE_GUARD,
            Self::Small => pages(memory_bytes).saturating_add(2 * SMALL_GUARD),
        }
    }

    pub(super) fn configure(self, config: &mut wasmtime::Config, memory_bytes: usize) {
        match self {
            Self::Whole => config
                .memory_reservation(WHOLE)
                .memory_guard_size(WHOLE_GUARD),
            // A memory with its limit reserved never moves, so that its code need not look up its
            // base.
            Self::Small => config
                .memory_reservation(pages(memory_bytes))
                .memory_reservation_for_growth(0)
                .memory_guard_size(SMALL_GUARD)
                .memory_may_move(false),
        };
    }
}

fn pages(memory_bytes: usize) -> u64 {
    (memory_bytes as u64)
        .checked_next_multiple_of(PAGE)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_reserve_little_only_where_address_space_is_limited() {
        assert_eq!(Reservation::fitting(64, None), Reservation::Whole);
        let two = 2 * 2 * (WHOLE + 2 * WHOLE_GUARD) + HOST;
        assert_eq!(Reservation::fitting(2, Some(two)), Reservation::Whole);
        assert_eq!(Reservation::fitting(2, Some(two - 1)), Reservation::Small);
        assert_eq!(Reservation::fitting(3, Some(two)), Reservation::Small);
        assert_eq!(Reservation::Small.bytes(1), PAGE + 2 * SMALL_GUARD);
        assert_eq!(
            Reservation::Small.bytes(64 << 20),
            (64 << 20) + 2 * SMALL_GUARD
        );
    }
}
