//! A thread that sleeps on a bell hears when it is told to stop.
//!
//! Whoever cancels a token, or a parent of it, need not know what the thread sleeps on: the cancellation itself
//! rings. Needs no async runtime. Must not know: what the thread does.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::signal::Signal;

/// Rings a bell when a token is cancelled, for as long as it is kept.
pub(crate) struct RingsAtStop {
    // Dropped, it would take the waker with it.
    _cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl RingsAtStop {
    /// From now on, the cancellation of `stop` rings `bell`. If it was cancelled before, nothing rings: the
    /// thread looks at the token before it sleeps.
    pub(crate) fn new(stop: &CancellationToken, bell: &Signal) -> Self {
        let mut cancelled = Box::pin(stop.clone().cancelled_owned());
        let waker = Waker::from(Arc::new(Ring(bell.clone())));
        // Registers the waker; what it says of now is no news.
        let _ = cancelled.as_mut().poll(&mut Context::from_waker(&waker));
        Self {
            _cancelled: cancelled,
        }
    }
}

struct Ring(Signal);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_parent_rings_too_and_a_dropped_one_rings_no_more() {
        let (parent, bell) = (CancellationToken::new(), Signal::default());
        let kept = RingsAtStop::new(&parent.child_token(), &bell);
        drop(RingsAtStop::new(&parent.child_token(), &bell));
        assert_eq!(bell.rings(), 0);
        parent.cancel();
        assert_eq!(bell.rings(), 1);
        drop(kept);
    }
}
