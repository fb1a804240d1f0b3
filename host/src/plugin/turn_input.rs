//! The replacements of clocks and a random source for a guest of WASI: functions of the turn's input
//! (invariant 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand_core::TryRng;
use saga_core::message::Message;
use sha2::{Digest as _, Sha256};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// Both clocks of the guest, stopped at the time of the turn.
#[derive(Clone, Default)]
pub(super) struct TurnClock(Arc<AtomicU64>);

impl TurnClock {
    /// Stops the clocks at this time, in milliseconds since the Unix epoch.
    pub(super) fn stop_at(&self, unix_millis: u64) {
        self.0.store(unix_millis, Ordering::Relaxed);
    }
}

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

/// The guest's random source: a stream of numbers that begins anew with each call, and depends on
/// the identity of the message and the key of its aggregate alone. Block n of the stream is the
/// SHA-256 of n and of the identity, so that it is the same on every machine and in every version
/// of the host, and a recorded decision can be repeated.
#[derive(Clone, Default)]
pub(super) struct TurnRandom(Arc<Mutex<RandomStream>>);

#[derive(Default)]
struct RandomStream {
    /// Source, id and key of the message; empty for a call without one.
    identity: Vec<u8>,
    /// Number of the next block.
    next: u64,
    block: [u8; 32],
    /// Bytes of the block that are still to be given out.
    left: usize,
}

impl TurnRandom {
    /// Begins the stream of this message, or the one of calls without a message.
    pub(super) fn begin(&self, message: Option<&Message>) {
        let mut stream = self.0.lock();
        stream.identity.clear();
        for text in message
            .iter()
            .flat_map(|one| [&one.source, &one.id, &one.key])
        {
            let length = text.len() as u64;
            stream.identity.extend_from_slice(&length.to_le_bytes());
            stream.identity.extend_from_slice(text.as_bytes());
        }
        (stream.next, stream.left) = (0, 0);
    }
}

impl RandomStream {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.left == 0 {
                let hash = Sha256::new().chain_update(self.next.to_le_bytes());
                self.block = hash.chain_update(&self.identity).finalize().into();
                self.next = self.next.wrapping_add(1);
                self.left = self.block.len();
            }
            let at = self.block.len() - self.left;
            *byte = self.block.get(at).copied().unwrap_or_default();
            self.left -= 1;
        }
    }
}

impl TryRng for TurnRandom {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.lock().fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;
    use saga_core::message::Origin;

    fn message(id: &str, key: &str) -> Message {
        Message {
            id: id.into(),
            source: "/test".into(),
            origin: Origin::Event,
            name: "count".into(),
            key: key.into(),
            time: 7,
            correlation: "c".into(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: "{}".into(),
        }
    }

    fn drawn(random: &mut TurnRandom, message: Option<&Message>) -> [u8; 100] {
        random.begin(message);
        let mut bytes = [0; 100];
        random.try_fill_bytes(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_stream_is_a_function_of_the_message_alone() {
        let (mut used, mut fresh) = (TurnRandom::default(), TurnRandom::default());
        let first = drawn(&mut used, Some(&message("1", "k")));
        let others = [message("2", "k"), message("1", "l"), message("1k", "")];
        for other in &others {
            assert_ne!(drawn(&mut used, Some(other)), first, "{other:?}");
        }
        assert_ne!(drawn(&mut used, None), first);
        let again = Message {
            time: 8,
            body: "[]".into(),
            ..message("1", "k")
        };
        assert_eq!(drawn(&mut fresh, Some(&again)), first, "another attempt");
        assert_eq!(drawn(&mut used, Some(&again)), first);
    }

    #[test]
    fn the_stream_is_the_documented_one_and_does_not_repeat_itself() {
        let mut random = TurnRandom::default();
        let bytes = drawn(&mut random, None);
        let block = |n: u64| Sha256::digest(n.to_le_bytes());
        assert_eq!(bytes[..32], block(0)[..]);
        assert_eq!(bytes[32..64], block(1)[..]);
        random.begin(None);
        assert_eq!(
            random.try_next_u64().unwrap().to_le_bytes(),
            bytes[..8],
            "numbers are of the same stream"
        );
        assert_eq!(random.try_next_u32().unwrap().to_le_bytes(), bytes[8..12]);
    }
}
