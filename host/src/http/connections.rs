//! The open connections of a listener: which of them end, and when.
//!
//! One task looks at all of them again and again. A connection ends gracefully when nothing was asked on it for a while, or
//! when it is idle and its place is wanted; it is cut off when its client takes nothing of an answer for too long. Where other
//! requests are in flight on it then, it is asked to end first, and cut off half that time later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::progress::{Activity, Clock, Stall};

/// Looks in the shortest of the bounds.
const LOOKS: u32 = 8;

/// The longest time between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Time for which a connection must have been idle to give way. What a client sent when it connected has come by then.
const REST: Duration = Duration::from_millis(500);

/// Time that a connection has to end once it was asked to give way, and that one of the reserve has for an answer.
const HASTE: Duration = Duration::from_secs(2);

/// Time that a connection of the reserve has to send the head of a request while others wait for its place. What was sent while
/// it waited to be accepted is there at once.
pub(super) const RESERVE_HEAD: Duration = Duration::from_millis(50);

/// How long a connection may rest, and an answer make no progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Without a request.
    pub(super) idle: Duration,
    /// Of an answer without progress.
    pub(super) stall: Duration,
}

/// All connections of a listener.
pub(super) struct Connections {
    clock: Arc<Clock>,
    times: Times,
    look: Duration,
    open: Mutex<Vec<Connection>>,
}

/// One of them.
struct Connection {
    activity: Arc<Activity>,
    /// Taken when it is asked to end.
    end: Option<oneshot::Sender<()>>,
    task: AbortHandle,
    /// The look at which it came, or was asked to end.
    since: u32,
    opened: Instant,
    is_reserve: bool,
}

impl Connections {
    pub(super) fn new(times: Times) -> Arc<Self> {
        let look = (times.idle.min(times.stall) / LOOKS).clamp(Duration::from_millis(1), LOOK);
        Arc::new(Self {
            clock: Arc::default(),
            times,
            look,
            open: Mutex::default(),
        })
    }

    /// What a connection does that comes now.
    pub(super) fn activity(&self) -> Arc<Activity> {
        Activity::new(&self.clock)
    }

    /// Takes a connection in: what it does, what asks it to end, its task, and whether it is one of the reserve.
    pub(super) fn add(
        &self,
        activity: Arc<Activity>,
        end: oneshot::Sender<()>,
        task: AbortHandle,
        is_reserve: bool,
    ) {
        let connection = Connection {
            activity,
            end: Some(end),
            task,
            since: self.clock.look(),
            opened: Instant::now(),
            is_reserve,
        };
        let mut open = self.open();
        // The others go at the next look.
        if open.len() == open.capacity() {
            open.retain(|connection| !connection.task.is_finished());
        }
        open.push(connection);
    }

    /// Looks at them until it is dropped.
    pub(super) async fn look_after(&self) {
        let mut looks = tokio::time::interval(self.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let period = self.looks_in(self.times.stall / 2);
        loop {
            looks.tick().await;
            let next = self.clock.look().wrapping_add(1);
            self.look(next.is_multiple_of(period));
        }
    }

    /// The next look, which may begin the next period.
    pub(super) fn look(&self, is_new_period: bool) {
        self.clock.next_look();
        if is_new_period {
            self.clock.next_period();
        }
        let idle = self.looks_in(self.times.idle);
        let haste = self.looks_in(HASTE);
        let now = self.clock.look();
        self.open().retain_mut(|connection| {
            if connection.task.is_finished() {
                return false;
            }
            let rest = connection.activity.idle();
            let stall = connection.activity.stall();
            if stall == Some(Stall::Lasting) {
                tracing::debug!("a connection is cut off: its client takes nothing of an answer");
                connection.task.abort();
            } else if stall == Some(Stall::BesideOthers) {
                // On HTTP/2 new requests go to another connection, and those in flight may be answered.
                connection.ask_to_end(now);
            } else if connection.end.is_some() {
                if rest.is_some_and(|rest| rest >= idle) {
                    connection.ask_to_end(now);
                }
            } else if rest.is_some() && now.wrapping_sub(connection.since) >= haste {
                connection.task.abort();
            }
            true
        });
    }

    /// Asks the connection that has been idle for longest to end; false where none is idle.
    pub(super) fn give_way(&self) -> bool {
        let now = self.clock.look();
        let rest = self.looks_in(REST);
        let mut open = self.open();
        let idle = (open.iter_mut())
            .filter(|one| one.end.is_some() && !one.is_reserve && !one.task.is_finished())
            .filter_map(|one| {
                let rested = one.activity.idle().filter(|looks| *looks >= rest)?;
                Some((rested, one))
            });
        // Of those that are alike, the first.
        let longest = idle.reduce(|longest, one| if one.0 > longest.0 { one } else { longest });
        longest.is_some_and(|(_, connection)| {
            connection.ask_to_end(now);
            true
        })
    }

    /// Cuts off all connections of the reserve that have had their time: for a head where none is complete, else for an answer.
    pub(super) fn clear_reserve(&self) {
        let now = Instant::now();
        for one in self.open().iter().filter(|one| one.is_reserve) {
            let time = match one.activity.idle() {
                Some(_) => RESERVE_HEAD,
                None => HASTE,
            };
            if now.duration_since(one.opened) >= time {
                one.task.abort();
            }
        }
    }

    /// Asks all of them to end once they have answered.
    pub(super) fn end(&self) {
        let now = self.clock.look();
        for connection in self.open().iter_mut() {
            connection.ask_to_end(now);
        }
    }

    /// A time in looks, at least one.
    fn looks_in(&self, time: Duration) -> u32 {
        let looks = time.as_micros() / self.look.as_micros().max(1);
        u32::try_from(looks).unwrap_or(u32::MAX).max(1)
    }

    /// Requests in flight on all connections.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.open().iter().map(|one| one.activity.in_flight()).sum()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn ask_to_end(&mut self, now: u32) {
        if let Some(end) = self.end.take() {
            // Nobody hears it where the connection has ended meanwhile.
            let _ = end.send(());
            self.since = now;
        }
    }
}
