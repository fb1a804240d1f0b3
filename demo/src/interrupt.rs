//! Ctrl-C and SIGTERM, as one thing to wait for.
//!
//! Owns: the subscription to both signals from the moment it is made, so that none is missed between two
//! waits.
//!
//! Must not know: what an interrupt means.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Somebody wants this process to end.
#[derive(Debug)]
pub struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Subscribes; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The system refuses the subscription.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns at the next signal. Giving up the wait loses none.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
