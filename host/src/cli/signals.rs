//! The signals that the host handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// End the host: SIGINT, SIGTERM.
    Stop(StopSignal),
    /// Re-read the components' files: SIGHUP.
    Reread,
}

/// A signal that ends the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StopSignal {
    /// Its name.
    pub(super) name: &'static str,
    /// Its number.
    pub(super) number: i32,
}

/// The end of the terminal, for a host that ends with it.
pub(super) const HANGUP: StopSignal = StopSignal {
    name: "SIGHUP",
    number: 1,
};

/// Handlers of the signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// `SIGXFSZ` on Linux and macOS.
const FILE_SIZE_EXCEEDED: i32 = 25;

impl Signals {
    /// Installs the handlers; until then the signals end the process.
    pub(super) fn new() -> std::io::Result<Self> {
        // Handled, so that the limit of file sizes makes a write fail, as a full disk does, instead
        // of ending the process. The handler stays when the stream is dropped.
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
            Received::Stop(StopSignal {
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

    /// The next signal that ends the host; ignores others.
    pub(super) async fn stop(&mut self) -> StopSignal {
        loop {
            if let Received::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}
