//! The one place where the host reads the wall clock and makes random ids.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Random bytes for an id.
#[must_use]
pub fn random_tail() -> [u8; 10] {
    let mut bytes = [0; 10];
    if getrandom::fill(&mut bytes).is_err() {
        // The kernel's source fails on no system that runs this; ids must differ all the same.
        let address = std::ptr::from_ref(&bytes) as usize;
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64;
        for (byte, mixed) in bytes.iter_mut().zip((nanos ^ address as u64).to_le_bytes()) {
            *byte = mixed;
        }
    }
    bytes
}
