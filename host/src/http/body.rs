//! Bodies of responses: complete or streamed, until the last byte is written.
//!
//! Unwritten bytes are charged to a budget and watched for progress, piece by piece: a piece
//! travels through hyper's queues with its reservation, which is released once it is written. Must
//! not know: the meaning of responses.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::progress::{ProgressMark, RequestInFlight};
use crate::base::budget::Reserved;

/// The body of a response.
pub struct AnswerBody {
    content: Content,
    reserved: Option<Reserved>,
    in_flight: Option<RequestInFlight>,
    /// Present while hyper is expected to poll for the next piece.
    mark: Option<ProgressMark>,
}

enum Content {
    /// Bytes of this response only.
    Own(Bytes),
    /// Bytes that are in memory anyway.
    Shared(Bytes),
    Stream(Pin<Box<dyn PieceStream>>),
}

/// Pieces that arrive one after another.
pub(super) trait PieceStream: Send {
    /// The next piece with its reservation; `None` at the end.
    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<(Bytes, Option<Reserved>)>>;
}

/// Bytes still to be written, with the guards that are dropped once they are.
pub struct Piece {
    bytes: Bytes,
    mark: Option<ProgressMark>,
    _reserved: Option<Reserved>,
    _in_flight: Option<RequestInFlight>,
}

impl AnswerBody {
    /// A complete body, made for this response.
    pub(super) fn own(bytes: Bytes) -> Self {
        Self::new(Content::Own(bytes))
    }

    /// A complete body that all clients share.
    pub(super) fn shared(bytes: Bytes) -> Self {
        Self::new(Content::Shared(bytes))
    }

    pub(super) fn stream(stream: impl PieceStream + 'static) -> Self {
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

    /// Bytes without a reservation.
    #[must_use]
    pub fn unreserved(&self) -> usize {
        match &self.content {
            Content::Own(bytes) if self.reserved.is_none() => bytes.len(),
            _ => 0,
        }
    }

    /// Attaches a reservation.
    #[must_use]
    pub fn reserved(self, reserved: Reserved) -> Self {
        Self {
            reserved: Some(reserved),
            ..self
        }
    }

    /// Attaches the request in flight, whose client has to read this body.
    pub(super) fn sent(self, in_flight: RequestInFlight) -> Self {
        Self {
            mark: Some(ProgressMark::new(in_flight.activity())),
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
                let mark = || {
                    body.in_flight
                        .as_ref()
                        .map(|one| ProgressMark::new(one.activity()))
                };
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
