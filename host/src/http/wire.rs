//! The bytes of a connection: detects that the client reads none, and turns hyper's own error
//! responses into problems.
//!
//! hyper answers an unreadable head with a bare status. Such a response is a write of its own,
//! which is replaced by a problem.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::problem::{self, Problem};
use super::progress::{Activity, ProgressMark};
use crate::apidocs::problems::Kind;

/// Prefix of every bare response.
const BARE: &[u8] = b"HTTP/1.1 4";
const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";
const END: &[u8] = b"\r\n\r\n";

/// Replacements of bare responses.
pub(super) struct Bare(Vec<(&'static [u8], Vec<u8>)>);

impl Bare {
    /// Problems whose pages are below this base path.
    pub(super) fn new(base_path: &str) -> Self {
        let kinds: [(&[u8], Kind, &str); 3] = [
            (
                b"HTTP/1.1 400 ",
                Kind::BadHead,
                "the head of the request is not HTTP/1.1: its first line or one of its headers can't be read",
            ),
            (
                b"HTTP/1.1 414 ",
                Kind::UriTooLong,
                "the address in the first line of the request is too long",
            ),
            (
                b"HTTP/1.1 431 ",
                Kind::HeadTooLarge,
                "the head of the request has too many bytes or too many headers",
            ),
        ];
        let answer =
            |(begin, kind, detail)| (begin, answer(&Problem::new(kind, detail), base_path));
        Self(kinds.map(answer).into())
    }

    /// The replacement of these bytes, if they are a bare response.
    fn instead(&self, bytes: &[u8]) -> Option<&[u8]> {
        if !bytes.starts_with(BARE) || !bytes.ends_with(END) {
            return None;
        }
        memchr::memmem::find(bytes, EMPTY)?;
        let known = self.0.iter().find(|(begin, _)| bytes.starts_with(begin));
        known.map(|(_, answer)| &**answer)
    }
}

fn answer(problem: &Problem, base_path: &str) -> Vec<u8> {
    let body = problem.json(base_path);
    let status = hyper::StatusCode::from_u16(problem.status).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem::MEDIA_TYPE,
        body.len()
    );
    (head + &body).into()
}

/// A connection's bytes.
pub(super) struct Wire<I> {
    io: I,
    activity: Arc<Activity>,
    /// Present while the client reads nothing.
    blocked: Option<ProgressMark>,
    bare: Arc<Bare>,
    /// Bytes of the replacement written so far.
    instead: usize,
}

impl<I> Wire<I> {
    pub(super) fn new(io: I, activity: Arc<Activity>, bare: Arc<Bare>) -> Self {
        Self {
            io,
            activity,
            blocked: None,
            bare,
            instead: 0,
        }
    }

    /// Notes the result of a write.
    fn noted<T>(&mut self, came: Poll<T>) -> Poll<T> {
        match (&came, &self.blocked) {
            (Poll::Pending, None) => self.blocked = Some(ProgressMark::new(&self.activity)),
            (Poll::Ready(_), Some(_)) => self.blocked = None,
            _ => {}
        }
        came
    }
}

impl<I: Write + Unpin> Wire<I> {
    /// Writes the replacement of a bare response, all of it; `None` if these bytes are no such
    /// response.
    fn write_instead(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if !bytes.starts_with(BARE) {
            return None;
        }
        let bare = self.bare.clone();
        let answer = bare.instead(bytes)?;
        Some(loop {
            let rest = answer.get(self.instead..).unwrap_or_default();
            if rest.is_empty() {
                self.instead = 0;
                break Poll::Ready(Ok(bytes.len()));
            }
            let came = Pin::new(&mut self.io).poll_write(context, rest);
            match self.noted(came) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Ok(0)),
                Poll::Ready(Ok(written)) => self.instead += written,
                other => break other,
            }
        })
    }
}

impl<I: Read + Unpin> Read for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: Write + Unpin> Write for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(came) = self.write_instead(context, bytes) {
            return came;
        }
        let came = Pin::new(&mut self.io).poll_write(context, bytes);
        self.noted(came)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = slices
            && let Some(came) = self.write_instead(context, bytes)
        {
            return came;
        }
        let came = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.noted(came)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = Pin::new(&mut self.io).poll_flush(context);
        self.noted(came)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = Pin::new(&mut self.io).poll_shutdown(context);
        self.noted(came)
    }
}
