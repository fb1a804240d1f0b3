//! Accepting connections, even without a free file descriptor.
//!
//! A connection that can't be accepted stays in the kernel's queue. The shortage is reported to
//! [`Machine`], and the acceptor itself checks for its end, since no client may connect meanwhile.

use std::fs::File;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::base::machine::{self, Machine};

/// Delay after a connection could not be accepted.
const RETRY: Duration = Duration::from_millis(100);

/// Opened to hold a file descriptor.
const NOTHING: &str = "/dev/null";

/// A listener that survives shortages of the machine.
pub struct Acceptor {
    listener: TcpListener,
    machine: Machine,
    /// True if a descriptor is kept in reserve for a connection that must be accepted.
    keeps_spare: bool,
    spare: Option<File>,
    /// True during a shortage that this listener has met.
    is_short: bool,
}

impl Acceptor {
    /// Accepts the connections of this listener.
    #[must_use]
    pub fn new(listener: TcpListener, machine: Machine) -> Self {
        Self {
            listener,
            machine,
            keeps_spare: false,
            spare: None,
            is_short: false,
        }
    }

    /// Keeps a descriptor in reserve, so that health checks are answered when no other is left.
    #[must_use]
    pub fn with_spare(self) -> Self {
        Self {
            keeps_spare: true,
            spare: File::open(NOTHING).ok(),
            ..self
        }
    }

    /// Makes the kernel end connections whose clients acknowledge nothing, or have a full receive
    /// window, for this time. The host can't see bytes that the kernel has taken, such as those of
    /// an event stream.
    pub(super) fn end_stalled(&self, time: Duration) {
        #[cfg(target_os = "linux")]
        {
            let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            // Accepted connections inherit the option.
            let set = rustix::net::sockopt::set_tcp_user_timeout(&self.listener, milliseconds);
            if let Err(error) = set {
                tracing::warn!(%error, "the kernel can't be set to end connections whose clients read nothing");
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = time;
    }

    /// Accepts the next connection.
    pub(super) async fn accept(&mut self) -> TcpStream {
        loop {
            if self.is_short && !self.look() && !self.keeps_spare {
                sleep(RETRY).await;
                continue;
            }
            if self.keeps_spare && self.spare.is_none() {
                self.spare = File::open(NOTHING).ok();
            }
            let accepted = if self.is_short {
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
            if let Some(lack) = machine::shortage_in(&error) {
                self.machine.report_shortage(&lack);
                self.is_short = true;
                if self.spare.take().is_some()
                    && let Ok(Ok((stream, _))) = timeout(RETRY, self.listener.accept()).await
                {
                    return stream;
                }
            } else {
                // Usually a client that has gone before its turn.
                tracing::debug!(%error, "a connection could not be accepted");
            }
            sleep(RETRY).await;
        }
    }

    /// Checks for free descriptors: two, since the last one belongs to a listener that keeps a
    /// spare.
    fn look(&mut self) -> bool {
        let first = File::open(NOTHING);
        let second = File::open(NOTHING);
        let failed = first.and(second).err();
        match failed.as_ref().map(|error| machine::shortage_in(error)) {
            Some(Some(lack)) => self.machine.report_shortage(&lack),
            _ => self.machine.report_success(),
        }
        self.is_short = self.machine.is_short();
        failed.is_none()
    }
}
