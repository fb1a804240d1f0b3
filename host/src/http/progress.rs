//! Progress of a connection: its requests in flight, and the time for which its client has read
//! nothing.
//!
//! Requests only count; the listener's clock gives the time, and one task per listener advances it.
//! So this code reads no time and takes no lock. Must not know: HTTP, sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bytes of a response that a client must read within the bound, unless fewer are left.
const LEAST: usize = 1 << 10;

/// Periods that are distinguished. A mark is examined before its slot is reused.
const PERIODS: usize = 8;

/// Periods after which a mark counts as a stall: the one in which it last moved, and two whole
/// ones.
const STALLED: u32 = 3;

/// The coarse clock of a listener.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Ticks so far.
    looks: AtomicU32,
    /// Periods so far; a period is half the bound of a stalled response.
    period: AtomicU32,
}

/// Activity of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Arc<Clock>,
    /// Requests whose responses are not written yet.
    in_flight: AtomicUsize,
    /// The tick at which the last request ended, or the connection was opened.
    last: AtomicU32,
    /// Number of marks, by the period in which they last moved.
    marks: [AtomicU32; PERIODS],
}

/// A request until its response is written.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<Activity>);

/// A response, or the connection, that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerStall {
    /// Other requests are in flight on the connection, which gets one more period.
    BesideOthers,
    /// No other request is in flight, or the extra period is over.
    Lasting,
}

/// Data that the client has to read.
#[derive(Debug)]
pub(super) struct ProgressMark {
    activity: Arc<Activity>,
    period: u32,
    /// Bytes read since the mark last moved.
    taken: usize,
}

impl Clock {
    pub(super) fn look(&self) -> u32 {
        self.looks.load(Ordering::Relaxed)
    }

    pub(super) fn next_look(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins the next period.
    pub(super) fn next_period(&self) {
        self.period.fetch_add(1, Ordering::Relaxed);
    }

    fn period(&self) -> u32 {
        self.period.load(Ordering::Relaxed)
    }
}

impl Activity {
    /// Activity of a new connection.
    pub(super) fn new(clock: &Arc<Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            in_flight: AtomicUsize::new(0),
            last: AtomicU32::new(clock.look()),
            marks: [const { AtomicU32::new(0) }; PERIODS],
        })
    }

    /// Ticks since the connection became idle; `None` while it is busy.
    pub(super) fn idle(&self) -> Option<u32> {
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0
            && self
                .marks
                .iter()
                .all(|marks| marks.load(Ordering::Relaxed) == 0);
        is_idle.then(|| {
            let last = self.last.load(Ordering::Relaxed);
            self.clock.look().wrapping_sub(last)
        })
    }

    /// A stall: data has not been read for two whole periods. Must be called in each period.
    pub(super) fn stall(&self) -> Option<AnswerStall> {
        let period = self.clock.period();
        let is_marked = |periods| {
            let marks = self.marks_of(period.wrapping_sub(periods));
            marks.is_some_and(|marks| marks.load(Ordering::Relaxed) > 0)
        };
        if is_marked(STALLED + 1) {
            return Some(AnswerStall::Lasting);
        }
        let has_others = || self.in_flight.load(Ordering::Relaxed) > 1;
        is_marked(STALLED).then(|| match has_others() {
            true => AnswerStall::BesideOthers,
            false => AnswerStall::Lasting,
        })
    }

    /// Requests whose responses are not written yet.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn marks_of(&self, period: u32) -> Option<&AtomicU32> {
        self.marks.get(period as usize % PERIODS)
    }
}

impl RequestInFlight {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let activity = &self.0;
        activity
            .last
            .store(activity.clock.look(), Ordering::Relaxed);
        activity.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ProgressMark {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        let period = activity.clock.period();
        if let Some(marks) = activity.marks_of(period) {
            marks.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            activity: activity.clone(),
            period,
            taken: 0,
        }
    }

    /// Notes that the client read this number of bytes.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken < LEAST {
            return;
        }
        self.taken = 0;
        let period = self.activity.clock.period();
        if period != self.period {
            if let Some(marks) = self.activity.marks_of(period) {
                marks.fetch_add(1, Ordering::Relaxed);
            }
            self.unmark();
            self.period = period;
        }
    }

    fn unmark(&self) {
        if let Some(marks) = self.activity.marks_of(self.period) {
            marks.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ProgressMark {
    fn drop(&mut self) {
        self.unmark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_progress_for_two_periods_is_a_stall() {
        let stalled_after = |taken: usize| {
            let clock = Arc::new(Clock::default());
            let activity = Activity::new(&clock);
            let mut mark = ProgressMark::new(&activity);
            let stalled = (1..100).find(|_| {
                clock.next_period();
                let is_stalled = activity.stall().is_some();
                mark.took(taken);
                is_stalled
            });
            drop(mark);
            assert!(activity.idle().is_some());
            stalled
        };
        assert_eq!(stalled_after(LEAST), None);
        assert_eq!(stalled_after(LEAST / 2), None);
        assert_eq!(stalled_after(1), Some(3));
    }

    #[test]
    fn a_stall_beside_other_requests_leaves_them_one_more_period() {
        let clock = Arc::new(Clock::default());
        let activity = Activity::new(&clock);
        let _stalled = RequestInFlight::new(&activity);
        let other = RequestInFlight::new(&activity);
        let _mark = ProgressMark::new(&activity);
        for _ in 0..STALLED {
            assert_eq!(activity.stall(), None);
            clock.next_period();
        }
        assert_eq!(activity.stall(), Some(AnswerStall::BesideOthers));
        drop(other);
        assert_eq!(activity.stall(), Some(AnswerStall::Lasting));
        let _other = RequestInFlight::new(&activity);
        assert_eq!(activity.stall(), Some(AnswerStall::BesideOthers));
        clock.next_period();
        assert_eq!(activity.stall(), Some(AnswerStall::Lasting));
    }

    #[test]
    fn a_connection_is_idle_once_all_is_answered_and_taken() {
        let clock = Arc::new(Clock::default());
        let activity = Activity::new(&clock);
        clock.next_look();
        assert_eq!(activity.idle(), Some(1));
        let request = RequestInFlight::new(&activity);
        let mark = ProgressMark::new(&activity);
        drop(request);
        assert_eq!(activity.idle(), None);
        drop(mark);
        assert_eq!(activity.idle(), Some(0));
        clock.next_look();
        clock.next_look();
        assert_eq!(activity.idle(), Some(2));
    }
}
