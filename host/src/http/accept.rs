//! Accepting connections, also while the machine has no file descriptor left for one.
//!
//! A connection that can't be accepted waits in the kernel's queue until it can. The lack is reported, and who has
//! met it looks whether it is over although nobody may connect meanwhile.

use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::machine::{self, Machine};

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

    /// The next connection.
    pub(super) async fn accept(&mut self) -> TcpStream {
        loop {
            if self.keeps_spare && self.spare.is_none() {
                self.spare = File::open(NOTHING).ok();
            }
            let accepted = if self.is_lacking {
                match timeout(machine::LOOK, self.listener.accept()).await {
                    Ok(accepted) => accepted,
                    Err(_) => {
                        self.look();
                        continue;
                    }
                }
            } else {
                self.listener.accept().await
            };
            let error = match accepted {
                Ok(accepted) => return self.taken(accepted),
                Err(error) => error,
            };
            let Some(lack) = machine::lack_in(&error) else {
                // A client that has gone before its turn, most of the time.
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(RETRY).await;
                continue;
            };
            self.machine.lacks(&lack);
            self.is_lacking = true;
            if self.spare.take().is_some()
                && let Ok(Ok((stream, _))) = timeout(RETRY, self.listener.accept()).await
            {
                return stream;
            }
            sleep(RETRY).await;
        }
    }

    fn taken(&mut self, (stream, _): (TcpStream, SocketAddr)) -> TcpStream {
        // One that took the last descriptor but the reserve shows nothing.
        if self.is_lacking {
            self.look();
        }
        stream
    }

    /// Looks whether there is a descriptor again.
    fn look(&mut self) {
        match File::open(NOTHING) {
            Ok(_) => self.machine.went_well(),
            Err(error) => {
                if let Some(lack) = machine::lack_in(&error) {
                    self.machine.lacks(&lack);
                }
            }
        }
        self.is_lacking = self.machine.is_lacking();
    }
}
