//! Accepting connections, also while the machine has no file descriptor left for one.
//!
//! A connection that can't be accepted waits in the kernel's queue until it can. The lack is reported, and who has
//! met it looks whether it is over although nobody may connect meanwhile.

use std::fs::File;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::base::machine::{self, Machine};

/// Wait after a connection could not be accepted.
const RETRY: Duration = Duration::from_millis(100);

/// Opened to have a file descriptor.
const NOTHING: &str = "/dev/null";

/// A listener that goes on whatever the machine lacks.
pub struct Acceptor {
    listener: TcpListener,
    machine: Machine,
    /// Whether a descriptor is kept for a connection that must be accepted.
    keeps_spare: bool,
    spare: Option<File>,
    /// Whether it has met a lack that is not over.
    is_lacking: bool,
}

impl Acceptor {
    /// For the connections of this listener.
    #[must_use]
    pub fn new(listener: TcpListener, machine: Machine) -> Self {
        Self {
            listener,
            machine,
            keeps_spare: false,
            spare: None,
            is_lacking: false,
        }
    }

    /// The same, with a descriptor in reserve: whoever asks how the host is has to be answered when there is none left.
    #[must_use]
    pub fn with_spare(self) -> Self {
        Self {
            keeps_spare: true,
            spare: File::open(NOTHING).ok(),
            ..self
        }
    }

    /// Has the kernel end connections whose clients acknowledge nothing for this time, or have no room for anything. Bytes that
    /// it has taken already, such as those of a stream of events, are beyond the host's sight.
    pub(super) fn end_stalled(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        {
            let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            // Accepted connections inherit it.
            let set = rustix::net::sockopt::set_tcp_user_timeout(&self.listener, milliseconds);
            if let Err(error) = set {
                tracing::warn!(%error, "the kernel does not end connections whose clients take nothing");
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }

    /// The next connection.
    pub(super) async fn accept(&mut self) -> TcpStream {
        loop {
            if self.is_lacking && !self.look() && !self.keeps_spare {
                sleep(RETRY).await;
                continue;
            }
            if self.keeps_spare && self.spare.is_none() {
                self.spare = File::open(NOTHING).ok();
            }
            let accepted = if self.is_lacking {
                match timeout(RETRY, self.listener.accept()).await {
                    Ok(accepted) => accepted,
                    Err(_) => continue,
                }
            } else {
                self.listener.accept().await
            };
            let error = match accepted {
                Ok((stream, _)) => return stream,
                Err(error) => error,
            };
            if let Some(lack) = machine::lack_in(&error) {
                self.machine.lacks(&lack);
                self.is_lacking = true;
                if self.spare.take().is_some()
                    && let Ok(Ok((stream, _))) = timeout(RETRY, self.listener.accept()).await
                {
                    return stream;
                }
            } else {
                // A client that has gone before its turn, most of the time.
                tracing::debug!(%error, "a connection could not be accepted");
            }
            sleep(RETRY).await;
        }
    }

    /// Looks whether there are descriptors again: two, for the last one is left to whoever keeps a spare.
    fn look(&mut self) -> bool {
        let first = File::open(NOTHING);
        let second = File::open(NOTHING);
        let failed = first.and(second).err();
        match failed.as_ref().map(|error| machine::lack_in(error)) {
            Some(Some(lack)) => self.machine.lacks(&lack),
            _ => self.machine.went_well(),
        }
        self.is_lacking = self.machine.is_lacking();
        failed.is_none()
    }
}
