//! Notifies a thread when a token is cancelled.
//!
//! The code that cancels the token, or a parent of it, need not know what the thread waits for.
//! Needs no async runtime. Must not know: the thread's work.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::notify::Notify;

/// Notifies when a token is cancelled, for as long as it is kept.
pub(crate) struct NotifiedAtStop {
    // Dropped, it would take the waker with it.
    _cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl NotifiedAtStop {
    /// From now on, the cancellation of `stop` notifies `notify`. An earlier one does not: the
    /// thread must check the token before it waits.
    pub(crate) fn new(stop: &CancellationToken, notify: &Notify) -> Self {
        let mut cancelled = Box::pin(stop.clone().cancelled_owned());
        let waker = Waker::from(Arc::new(WakeUp(notify.clone())));
        // Registers the waker; what it says of now is no news.
        let _ = cancelled.as_mut().poll(&mut Context::from_waker(&waker));
        Self {
            _cancelled: cancelled,
        }
    }
}

struct WakeUp(Notify);

impl Wake for WakeUp {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_parent_rings_too_and_a_dropped_one_rings_no_more() {
        let (parent, notify) = (CancellationToken::new(), Notify::default());
        let kept = NotifiedAtStop::new(&parent.child_token(), &notify);
        drop(NotifiedAtStop::new(&parent.child_token(), &notify));
        assert_eq!(notify.count(), 0);
        parent.cancel();
        assert_eq!(notify.count(), 1);
        drop(kept);
    }
}
