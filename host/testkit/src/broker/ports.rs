//! Free ports of loopback.
//!
//! They are taken from below the range that the system gives to whoever asks for any port: a broker
//! that is down for a while must find its ports free again, whatever starts in the meantime. Two
//! programs may still choose the same port at the same time; the one that comes late can't start, and
//! its start is tried with others.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};

/// Linux gives away 32768 to 60999, others 49152 to 65535.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// So many ports of these are not all in use.
const TRIES: usize = 1_000;

/// Free ports, as many as asked for, none twice; fewer where the machine has none left.
pub(crate) fn free(count: usize) -> Vec<u16> {
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..TRIES {
        if held.len() == count {
            break;
        }
        let port = random();
        // Held until all are found, so that none is found twice.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    held.into_iter().map(|(port, _)| port).collect()
}

fn random() -> u16 {
    // Each has a random key of its own: the only source of chance in the standard library.
    let random = RandomState::new().build_hasher().finish() % u64::from(COUNT);
    FIRST + u16::try_from(random).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_asked_for_and_none_twice() {
        let mut ports = free(50);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        assert!(
            ports
                .iter()
                .all(|port| (FIRST..FIRST + COUNT).contains(port))
        );
    }
}
