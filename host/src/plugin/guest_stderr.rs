//! The standard error of a guest in one turn: the panic message of rules that faulted.
//!
//! The beginning is kept, where Rust and JavaScript name the cause, and the end, where Python does;
//! what is between is discarded. It is logged only if the turn ends in a fault.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::base::printable::escaped;

/// Bytes kept of the beginning, and of the end.
const FIRST: usize = 1_024;
const LAST: usize = 1_024;

/// The marks of an SDK around the reason of a fault.
const BEFORE_REASON: &str = "saga-fault<";
const AFTER_REASON: &str = ">saga-fault";

/// Most bytes of one write.
const PERMIT: usize = 64 << 10;

/// The standard error of a guest; clones share the stream.
#[derive(Clone, Default)]
pub(super) struct GuestStderr(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    first: Vec<u8>,
    last: VecDeque<u8>,
    /// True if bytes between them were discarded.
    has_gap: bool,
}

impl GuestStderr {
    /// Discards what was written.
    pub(super) fn clear(&self) {
        let mut kept = self.0.lock();
        kept.first.clear();
        kept.last.clear();
        kept.has_gap = false;
    }

    /// The written text on one line, with control characters escaped; `None` if there is none.
    pub(super) fn text(&self) -> Option<String> {
        let kept = self.0.lock();
        let last: Vec<u8> = kept.last.iter().copied().collect();
        let between = if kept.has_gap { "\n\u{2026}\n" } else { "" };
        let text = [&*kept.first, between.as_bytes(), &last].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        (!lines.is_empty()).then(|| escaped(&lines.join(" | ")).into_owned())
    }

    /// The reason of a fault that an SDK of another language gave. Their engines can only throw, and print what is thrown among
    /// words of their own, in quotes of Rust.
    pub(super) fn told_by_sdk(&self) -> Option<String> {
        let text = self.text()?;
        let (_, rest) = text.split_once(BEFORE_REASON)?;
        let reason = rest.split(AFTER_REASON).next()?;
        Some(unquoted(reason))
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        let room = FIRST.saturating_sub(kept.first.len());
        let (first, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        kept.first.extend(first);
        // No more of it than can stay.
        let skipped = rest.len().saturating_sub(LAST);
        kept.last.extend(rest.iter().skip(skipped));
        let excess = kept.last.len().saturating_sub(LAST);
        kept.last.drain(..excess);
        kept.has_gap |= skipped + excess > 0;
    }
}

/// A text without the backslashes of a quoted one. `\\u{..}` stays: it does not print.
fn unquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match (char, rest.peek()) {
            ('\\', Some('"' | '\'' | '\\')) => plain.extend(rest.next()),
            ('\\', Some('n')) => {
                rest.next();
                plain.push_str(" | ");
            }
            _ => plain.push(char),
        }
    }
    plain
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_sdk_is_told_without_the_words_of_its_engine() {
        let stderr = GuestStderr::default();
        stderr.keep(b"thread '<unnamed>' panicked at interpreter.rs:51:31:\n");
        assert_eq!(stderr.told_by_sdk(), None);
        let exception = r#"Exception { message: Some("saga-fault<Error: no \"7\"\nat all, at src/rules.ts:7>saga-fault"), stack"#;
        stderr.keep(exception.as_bytes());
        let reason = r#"Error: no "7" | at all, at src/rules.ts:7"#;
        assert_eq!(stderr.told_by_sdk().as_deref(), Some(reason));
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let stderr = GuestStderr::default();
        assert_eq!(stderr.text(), None);
        stderr.keep(b"short");
        assert_eq!(stderr.text().as_deref(), Some("short"));
        stderr.clear();
        for _ in 0..2_000 {
            stderr.keep(b"File \"rules.py\", line 7\n");
        }
        stderr.keep(b"ValueError: no such order\n");
        let text = stderr.text().unwrap_or_default();
        assert!(
            text.starts_with("File \"rules.py\", line 7 | File"),
            "{text}"
        );
        assert!(text.contains(" | \u{2026} | "), "{text}");
        assert!(text.ends_with(" | ValueError: no such order"), "{text}");
        assert!(text.len() < FIRST + LAST + 400, "{}", text.len());
        stderr.keep(&[b'x'; 5_000]);
        assert!(stderr.text().is_some_and(|text| text.ends_with("xxx")));
        stderr.clear();
        assert_eq!(stderr.text(), None);
    }
}
