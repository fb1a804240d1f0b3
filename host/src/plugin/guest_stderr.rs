//! The standard error of a guest in one turn: the panic message of rules that faulted.
//!
//! Only the beginning is kept, since it names the first cause; the rest is discarded. It is logged
//! only if the turn ends in a fault.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::base::printable::escaped;

/// Bytes kept.
const KEPT: usize = 1_024;

/// Most bytes of one write.
const PERMIT: usize = 64 << 10;

/// The standard error of a guest; clones share the stream.
#[derive(Clone, Default)]
pub(super) struct GuestStderr(Arc<Mutex<Vec<u8>>>);

impl GuestStderr {
    /// Discards what was written.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The written text on one line, with control characters escaped; `None` if there is none.
    pub(super) fn text(&self) -> Option<String> {
        let kept = self.0.lock();
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        (!lines.is_empty()).then(|| escaped(&lines.join(" | ")).into_owned())
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
    }
}

impl IsTerminal for GuestStderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestStderr {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStderr {
    async fn ready(&mut self) {}
}

impl AsyncWrite for GuestStderr {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
