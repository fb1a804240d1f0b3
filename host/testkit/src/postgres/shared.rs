//! The one server of all tests of a process. `POSTGRES_URL` names a running one to use instead.
//!
//! A test that stops, pauses or slows a server starts one of its own.

use std::sync::OnceLock;

use super::programs::available;
use super::server::{Server, Settings};

/// The environment variable with the URL of a running server, whose user may create schemas.
const GIVEN: &str = "POSTGRES_URL";

/// True if tests that need a server can run here; otherwise prints once what is missing.
///
/// # Panics
/// On CI (`CI` is set) it is a failure.
#[must_use]
pub fn can_run() -> bool {
    given().is_some() || can_start()
}

/// True if tests that start servers of their own can run here; otherwise prints once what is
/// missing.
///
/// # Panics
/// On CI (`CI` is set) it is a failure.
#[must_use]
pub fn can_start() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| match available() {
        Ok(()) => true,
        Err(missing) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "on CI it must run: {missing}"
            );
            eprintln!(
                "PostgreSQL: left out ({missing}; {GIVEN} names one for the tests that share it)"
            );
            false
        }
    })
}

/// The URL of the server that all tests of this process share, which is started if it has not been.
/// It ends with the process.
///
/// # Panics
/// It does not start.
#[must_use]
#[allow(
    clippy::panic,
    reason = "for tests only, which fail at the first error"
)]
pub fn url() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    match given() {
        Some(url) => url,
        None => SERVER
            .get_or_init(|| match Server::start(&Settings::default()) {
                Ok(server) => server,
                Err(error) => panic!("{error}"),
            })
            .url(),
    }
}

fn given() -> Option<String> {
    std::env::var(GIVEN).ok().filter(|url| !url.is_empty())
}
