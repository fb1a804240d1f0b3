//! The signals that the host takes.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The host is to end: SIGINT, SIGTERM.
    Stop(Stop),
    /// The components' files are to be read again: SIGHUP.
    Reread,
}

/// A signal to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Its name.
    pub(super) name: &'static str,
    /// Its number.
    pub(super) number: i32,
}

/// The signals, from when they are taken on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// `SIGXFSZ` on Linux and macOS.
const FILE_SIZE_EXCEEDED: i32 = 25;

impl Signals {
    /// Takes them; until then they end the process.
    pub(super) fn new() -> std::io::Result<Self> {
        // Taken, so that a limit on the size of files is a failed write, as on a full disk, and not the
        // end of the process. It stays taken when the stream is dropped.
        signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Received {
        let stop = |name, kind: SignalKind| {
            Received::Stop(Stop {
                name,
                number: kind.as_raw_value(),
            })
        };
        tokio::select! {
            _ = self.interrupt.recv() => stop("SIGINT", SignalKind::interrupt()),
            _ = self.terminate.recv() => stop("SIGTERM", SignalKind::terminate()),
            _ = self.hangup.recv() => Received::Reread,
        }
    }

    /// The next signal to end; others are passed over.
    pub(super) async fn stop(&mut self) -> Stop {
        loop {
            if let Received::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}
