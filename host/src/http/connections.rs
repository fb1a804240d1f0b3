//! The open connections of a listener, and the rules by which they end.
//!
//! One task examines all of them periodically. A connection ends gracefully if it was idle for a
//! while, or if it is idle and its place is needed; it is cut off if its client reads nothing of a
//! response for too long. If other requests are in flight on it then, it is asked to end first, and
//! cut off half that time later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::progress::{Activity, AnswerStall, Clock};

/// Ticks within the shorter of the two bounds.
const LOOKS: u32 = 8;

/// Longest time between two ticks.
const LOOK: Duration = Duration::from_millis(250);

/// Time for which a connection must have been idle to give way. A request that the client sent on
/// connecting has arrived by then.
const REST: Duration = Duration::from_millis(500);

/// Time that a connection gets to end after it was asked to, and that a reserved connection gets
/// for an answer.
const HASTE: Duration = Duration::from_secs(2);

/// Time that a reserved connection gets for the head of a request while others wait for its place.
/// A head that was sent while the connection waited to be accepted is available at once.
pub(super) const RESERVE_HEAD: Duration = Duration::from_millis(50);

/// Bounds of idle connections and of stalled responses.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimes {
    /// Longest time without a request.
    pub(super) idle: Duration,
    /// Longest time of a response without progress.
    pub(super) stall: Duration,
}

/// All connections of a listener.
pub(super) struct Connections {
    clock: Arc<Clock>,
    times: ConnectionTimes,
    look: Duration,
    open: Mutex<Vec<OpenConnection>>,
}

/// One open connection.
struct OpenConnection {
    activity: Arc<Activity>,
    /// Taken when the connection is asked to end.
    end: Option<oneshot::Sender<()>>,
    task: AbortHandle,
    /// The tick at which it was opened, or was asked to end.
    since: u32,
    opened: Instant,
    is_reserve: bool,
}

impl Connections {
    pub(super) fn new(times: ConnectionTimes) -> Arc<Self> {
        let look = (times.idle.min(times.stall) / LOOKS).clamp(Duration::from_millis(1), LOOK);
        Arc::new(Self {
            clock: Arc::default(),
            times,
            look,
            open: Mutex::default(),
        })
    }

    /// The activity of a new connection.
    pub(super) fn activity(&self) -> Arc<Activity> {
        Activity::new(&self.clock)
    }

    /// Adds a connection: its activity, the sender that asks it to end, its task, and its kind.
    pub(super) fn add(
        &self,
        activity: Arc<Activity>,
        end: oneshot::Sender<()>,
        task: AbortHandle,
        is_reserve: bool,
    ) {
        let connection = OpenConnection {
            activity,
            end: Some(end),
            task,
            since: self.clock.look(),
            opened: Instant::now(),
            is_reserve,
        };
        let mut open = self.open.lock();
        // Other finished connections go at the next tick.
        if open.len() == open.capacity() {
            open.retain(|connection| !connection.task.is_finished());
        }
        open.push(connection);
    }

    /// Examines the connections until it is dropped.
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

    /// The next tick, which may begin the next period.
    pub(super) fn look(&self, is_new_period: bool) {
        self.clock.next_look();
        if is_new_period {
            self.clock.next_period();
        }
        let idle = self.looks_in(self.times.idle);
        let haste = self.looks_in(HASTE);
        let now = self.clock.look();
        self.open.lock().retain_mut(|connection| {
            if connection.task.is_finished() {
                return false;
            }
            let rest = connection.activity.idle();
            let stall = connection.activity.stall();
            if stall == Some(AnswerStall::Lasting) {
                tracing::debug!("a connection is cut off: its client reads nothing of a response");
                connection.task.abort();
            } else if stall == Some(AnswerStall::BesideOthers) {
                // HTTP/2 clients send new requests on another connection, and those in flight may
                // be answered.
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

    /// Asks the connection with the longest idle time to end; false if none is idle.
    pub(super) fn give_way(&self) -> bool {
        let now = self.clock.look();
        let rest = self.looks_in(REST);
        let mut open = self.open.lock();
        let idle = (open.iter_mut())
            .filter(|one| one.end.is_some() && !one.is_reserve && !one.task.is_finished())
            .filter_map(|one| {
                let rested = one.activity.idle().filter(|looks| *looks >= rest)?;
                Some((rested, one))
            });
        // The first of those with equal times.
        let longest = idle.reduce(|longest, one| if one.0 > longest.0 { one } else { longest });
        longest.is_some_and(|(_, connection)| {
            connection.ask_to_end(now);
            true
        })
    }

    /// Cuts off all reserved connections that have used up their time: for a head if none is
    /// complete, else for an answer.
    pub(super) fn clear_reserve(&self) {
        let now = Instant::now();
        for one in self.open.lock().iter().filter(|one| one.is_reserve) {
            let time = match one.activity.idle() {
                Some(_) => RESERVE_HEAD,
                None => HASTE,
            };
            if now.duration_since(one.opened) >= time {
                one.task.abort();
            }
        }
    }

    /// Asks all connections to end once they have answered.
    pub(super) fn end(&self) {
        let now = self.clock.look();
        for connection in self.open.lock().iter_mut() {
            connection.ask_to_end(now);
        }
    }

    /// A duration in ticks, at least one.
    fn looks_in(&self, time: Duration) -> u32 {
        let looks = time.as_micros() / self.look.as_micros().max(1);
        u32::try_from(looks).unwrap_or(u32::MAX).max(1)
    }

    /// Requests in flight on all connections.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.open
            .lock()
            .iter()
            .map(|one| one.activity.in_flight())
            .sum()
    }
}

impl OpenConnection {
    fn ask_to_end(&mut self, now: u32) {
        if let Some(end) = self.end.take() {
            // The receiver is gone if the connection has ended meanwhile.
            let _ = end.send(());
            self.since = now;
        }
    }
}
