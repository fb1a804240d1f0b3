//! Free ports of loopback.
//!
//! They are below the range of ephemeral ports: a server that is down for a while must find its
//! ports free again. Two programs may still choose the same port at the same time; then the later
//! one can't start, and retries with other ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};

/// The range of ports. Ephemeral ports begin at 32768 on Linux, and at 49152 on other systems.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Most ports that are tried; not all of these are in use.
const TRIES: usize = 1_000;

/// This many different free ports; fewer if the machine has none left.
pub fn free(count: usize) -> Vec<u16> {
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..TRIES {
        if held.len() == count {
            break;
        }
        let port = random();
        // Bound until all are found, so that each is found once.
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    held.into_iter().map(|(port, _)| port).collect()
}

fn random() -> u16 {
    // Each hasher has a random key: the only source of randomness in the standard library.
    let random = RandomState::new().build_hasher().finish() % u64::from(COUNT);
    FIRST + u16::try_from(random).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_number_of_different_ports_is_found() {
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
