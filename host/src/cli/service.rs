//! Notifies the service manager that started the host, with the protocol of `sd_notify(3)`.
//!
//! If that fails, the host logs a line and goes on.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Environment variable with the address of the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// All listeners are open.
pub(super) const READY: &str = "READY=1";

/// The drain has begun.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Sends the state, if there is a manager.
pub(super) fn notify(state: &str) {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "the service manager can't be notified of `{state}`");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not block the host.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address(socket)?)?;
    Ok(())
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}
