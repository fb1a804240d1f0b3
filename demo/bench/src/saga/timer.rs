//! Waits that are precise to tens of microseconds.
//!
//! Owns: one thread that sleeps until the next wait is over and wakes its task. The runtime's timer
//! counts whole milliseconds, which is too coarse for a saga of half a millisecond, and busy
//! waiting would take the processor from the host. Longer waits use the runtime's timer, which is
//! cheaper.
//!
//! Must not know: the reasons of waits. The thread ends when the last handle is dropped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// The runtime's timer is precise enough for waits of this length.
const COARSE: Duration = Duration::from_millis(8);

/// A handle to the timer thread.
#[derive(Debug, Clone)]
pub(crate) struct PreciseTimer {
    waits: Sender<Wait>,
}

impl PreciseTimer {
    /// Starts the timer thread.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (waits, new_waits) = channel();
        thread::Builder::new()
            .name("timer".to_owned())
            .spawn(move || run(&new_waits))?;
        Ok(Self { waits })
    }

    /// Returns when `wait` is over. Dropping the future cancels the wait.
    pub(crate) async fn sleep(&self, wait: Duration) {
        if wait >= COARSE {
            return tokio::time::sleep(wait).await;
        }
        let (wake, woken) = oneshot::channel();
        let due = Instant::now() + wait;
        // An error on either side would mean that the thread has panicked; then the wait is not
        // precise.
        if self.waits.send(Wait { due, wake }).is_err() || woken.await.is_err() {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

#[derive(Debug)]
struct Wait {
    due: Instant,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Wait {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Wait {}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

fn run(new_waits: &Receiver<Wait>) {
    let mut waits: BinaryHeap<Reverse<Wait>> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while waits.peek().is_some_and(|Reverse(wait)| wait.due <= now) {
            if let Some(Reverse(wait)) = waits.pop() {
                // The task may have cancelled the wait.
                let _ = wait.wake.send(());
            }
        }
        let next = waits
            .peek()
            .map(|Reverse(wait)| wait.due.saturating_duration_since(now));
        let received = match next {
            Some(next) => new_waits.recv_timeout(next),
            None => new_waits.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(wait) => waits.push(Reverse(wait)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn short_waits_end_whatever_their_order_and_not_early() {
        let timer = PreciseTimer::start().unwrap();
        let start = Instant::now();
        let waits = [3_u64, 1, 2].map(|millis| {
            let timer = timer.clone();
            tokio::spawn(async move {
                timer.sleep(Duration::from_millis(millis)).await;
                start.elapsed()
            })
        });
        let mut ended = Vec::new();
        for wait in waits {
            ended.push(wait.await.unwrap());
        }
        for (elapsed, millis) in ended.iter().zip([3, 1, 2]) {
            assert!(
                *elapsed >= Duration::from_millis(millis),
                "{elapsed:?} for {millis} ms"
            );
        }
    }
}
