//! SIGINT (Ctrl-C) and SIGTERM as one event.
//!
//! Owns: a subscription to both signals, so that none is missed between two waits.
//!
//! Must not know: the reaction to an interrupt.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A subscription to both signals.
#[derive(Debug)]
pub struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Subscribes; from now on the signals do not end the process by themselves.
    ///
    /// # Errors
    /// The system refuses the subscription.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns at the next signal. Cancel-safe.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
