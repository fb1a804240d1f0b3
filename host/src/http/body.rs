//! The bodies of answers: whole or a stream, until the last byte is written.
//!
//! What is not written yet is charged to a budget and marked with its connection, piece by piece: a piece goes with its bytes
//! into hyper's queues, and is dropped once it is written. Must not know: what is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::progress::{InFlight, Mark};
use crate::base::budget::Reserved;

/// The body of an answer.
pub struct AnswerBody {
    content: Content,
    reserved: Option<Reserved>,
    in_flight: Option<InFlight>,
    /// There while hyper is to ask for the next piece.
    mark: Option<Mark>,
}

enum Content {
    /// Bytes of this answer alone.
    Own(Bytes),
    /// Bytes that are in memory anyway.
    Shared(Bytes),
    Stream(Pin<Box<dyn Stream>>),
}

/// Pieces that come one after another.
pub(super) trait Stream: Send {
    /// The next piece and what is reserved for it; none at the end.
    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<(Bytes, Option<Reserved>)>>;
}

/// Bytes that are still to be written, and what is dropped when they are.
pub struct Piece {
    bytes: Bytes,
    mark: Option<Mark>,
    _reserved: Option<Reserved>,
    _in_flight: Option<InFlight>,
}

impl AnswerBody {
    /// A body that is there already, made for this answer.
    pub(super) fn own(bytes: Bytes) -> Self {
        Self::new(Content::Own(bytes))
    }

    /// A body that is in memory for all who ask.
    pub(super) fn shared(bytes: Bytes) -> Self {
        Self::new(Content::Shared(bytes))
    }

    pub(super) fn stream(stream: impl Stream + 'static) -> Self {
        Self::new(Content::Stream(Box::pin(stream)))
    }

    fn new(content: Content) -> Self {
        Self {
            content,
            reserved: None,
            in_flight: None,
            mark: None,
        }
    }

    /// Bytes that nobody has reserved yet.
    #[must_use]
    pub fn unreserved(&self) -> usize {
        match &self.content {
            Content::Own(bytes) if self.reserved.is_none() => bytes.len(),
            _ => 0,
        }
    }

    /// The same, charged to this.
    #[must_use]
    pub fn reserved(self, reserved: Reserved) -> Self {
        Self {
            reserved: Some(reserved),
            ..self
        }
    }

    /// The same, for the client of this request to take.
    pub(super) fn sent(self, in_flight: InFlight) -> Self {
        Self {
            mark: Some(Mark::new(in_flight.activity())),
            in_flight: Some(in_flight),
            ..self
        }
    }
}

impl Body for AnswerBody {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let body = &mut *self;
        let piece = match &mut body.content {
            Content::Own(bytes) | Content::Shared(bytes) => Piece {
                bytes: std::mem::take(bytes),
                mark: body.mark.take(),
                _reserved: body.reserved.take(),
                _in_flight: body.in_flight.take(),
            },
            Content::Stream(stream) => {
                // From here on the client waits for the host.
                body.mark = None;
                let Some((bytes, reserved)) = ready!(stream.as_mut().poll_next(context)) else {
                    body.in_flight = None;
                    return Poll::Ready(None);
                };
                let mark = || body.in_flight.as_ref().map(|one| Mark::new(one.activity()));
                let piece = Piece {
                    bytes,
                    mark: mark(),
                    _reserved: reserved,
                    _in_flight: None,
                };
                body.mark = mark();
                piece
            }
        };
        Poll::Ready((!piece.bytes.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) | Content::Shared(bytes) => bytes.is_empty(),
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) | Content::Shared(bytes) => {
                SizeHint::with_exact(bytes.len() as u64)
            }
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        if let Some(mark) = &mut self.mark {
            mark.took(bytes);
        }
    }
}
