//! The time by which old rows are deleted: it does not depend on one reading of the wall clock.
//!
//! Within a process it follows the monotonic clock; from one process to the next a mark in the
//! store carries it on. A wall clock that shows another time is in doubt: it is believed once it
//! has kept its pace for [`STEADY`], and until then the trusted time continues from its last value.
//! Nothing counts as old by a time that the wall clock has not reached either.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

/// Deviation of the wall clock beyond which it is in doubt. Smaller ones are corrected slowly.
const TOLERANCE: u64 = 5 * 60 * 1_000_000;

/// Time for which a wall clock in doubt must keep its pace before it is believed.
pub(super) const STEADY: Duration = Duration::from_secs(3_600);

/// Fastest correction: one part in this many of the elapsed time.
const SLEW: u64 = 100;

/// The time by which old rows are deleted. In microseconds, so that short steps lose nothing.
#[derive(Debug)]
pub(super) struct TrustedTime {
    trusted: u64,
    wall: u64,
    /// The monotonic clock at the last reading.
    looked: Duration,
    doubt: Option<Doubt>,
}

/// A wall clock that shows another time.
#[derive(Debug)]
struct Doubt {
    since: Duration,
    /// Lead of the wall clock over the monotonic one.
    ahead: i128,
}

/// A report on the wall clock; times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// At the start it does not follow the time when the store was last open.
    Elsewhere { wall: u64, trusted: u64 },
    /// It jumped while the process ran.
    Leapt { wall: u64, trusted: u64 },
    /// It shows the expected time again.
    Back,
    /// It kept its pace for long enough, and is believed.
    Believed,
}

impl TrustedTime {
    /// Continues from this mark, if there is one, at these readings of the clocks.
    pub(super) fn new(mark: Option<u64>, wall: u64, monotonic: Duration) -> (Self, Option<Said>) {
        let wall = wall.saturating_mul(1_000);
        let mark = mark.map_or(wall, |mark| mark.saturating_mul(1_000));
        // A short stop is ignored.
        let is_near = wall >= mark && wall - mark <= TOLERANCE;
        let mut time = Self {
            trusted: if is_near { wall } else { mark },
            wall,
            looked: monotonic,
            doubt: None,
        };
        let said = time.look(wall / 1_000, monotonic).map(|said| match said {
            Said::Leapt { wall, trusted } => Said::Elsewhere { wall, trusted },
            other => other,
        });
        (time, said)
    }

    /// Processes a reading of the clocks.
    pub(super) fn look(&mut self, wall: u64, monotonic: Duration) -> Option<Said> {
        let passed = monotonic.saturating_sub(self.looked);
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        self.looked = monotonic;
        self.wall = wall.saturating_mul(1_000);
        self.trusted = self.trusted.saturating_add(passed);
        let off = self.trusted.abs_diff(self.wall);
        if off <= TOLERANCE {
            let step = off.min(passed / SLEW);
            self.trusted = if self.trusted < self.wall {
                self.trusted + step
            } else {
                self.trusted - step
            };
            return self.doubt.take().map(|_| Said::Back);
        }
        let ahead = i128::from(self.wall) - monotonic.as_micros() as i128;
        let keeps_pace = |doubt: &&mut Doubt| doubt.ahead.abs_diff(ahead) <= u128::from(TOLERANCE);
        match self.doubt.as_mut().filter(keeps_pace) {
            Some(doubt) if monotonic.saturating_sub(doubt.since) >= STEADY => {
                self.trusted = self.wall;
                self.doubt = None;
                Some(Said::Believed)
            }
            Some(_) => None,
            None => {
                self.doubt = Some(Doubt {
                    since: monotonic,
                    ahead,
                });
                Some(Said::Leapt {
                    wall,
                    trusted: self.mark(),
                })
            }
        }
    }

    /// The trusted time, in milliseconds since the Unix epoch. Rows older than the retention by
    /// this time may be deleted.
    pub(super) fn now(&self) -> u64 {
        self.trusted.min(self.wall) / 1_000
    }

    /// The mark to store for the next process.
    pub(super) fn mark(&self) -> u64 {
        self.trusted / 1_000
    }
}

/// The time by which old rows of a store are deleted, if it is opened at this reading of the wall
/// clock; both are in milliseconds since the Unix epoch. For a store that is not open for writing:
/// [`Engine::trusted_now`](crate::store::Engine::trusted_now) returns the time of an open one.
pub(super) fn trusted_now(sql: &Connection, wall: u64) -> rusqlite::Result<u64> {
    let (time, _) = TrustedTime::new(last_open(sql)?, wall, Duration::ZERO);
    Ok(time.now())
}

/// The time when a store was last open, as far as it is recorded, in milliseconds since the Unix
/// epoch.
pub(super) fn last_open(sql: &Connection) -> rusqlite::Result<Option<u64>> {
    let first = |select: &str| {
        sql.query_row(select, [], |row| {
            row.get::<_, i64>(0).map(|time| time.max(0) as u64)
        })
        .optional()
    };
    let marked = first("SELECT time FROM trusted_time")?;
    match marked {
        Some(marked) => Ok(Some(marked)),
        // It was killed before the first mark: its last decision is the best estimate.
        None => first("SELECT time FROM journal ORDER BY seq DESC LIMIT 1"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;
    const DAY: u64 = 86_400 * SECOND;
    const T: u64 = 20_000 * DAY;

    fn mono(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Advances by this many milliseconds in readings half a second apart, with the wall clock off
    /// by `off`.
    fn pass(time: &mut TrustedTime, from: u64, ms: u64, off: i64) -> Vec<Said> {
        (1..=ms / 500)
            .filter_map(|step| {
                let now = from + step * 500;
                time.look((T + now).checked_add_signed(off).unwrap(), mono(now))
            })
            .collect()
    }

    #[test]
    fn a_steady_clock_is_followed_and_small_corrections_are_caught_up() {
        let (mut time, said) = TrustedTime::new(Some(T - 20 * SECOND), T, mono(0));
        assert_eq!((time.now(), said), (T, None), "a short stop");
        assert_eq!(pass(&mut time, 0, 60 * SECOND, 0), []);
        assert_eq!(time.now(), T + 60 * SECOND);
        // One second ahead: the correction takes a hundred.
        assert_eq!(pass(&mut time, 60 * SECOND, 50 * SECOND, 1_000), []);
        assert_eq!(time.now(), T + 110 * SECOND + 500);
        assert_eq!(pass(&mut time, 110 * SECOND, 60 * SECOND, 1_000), []);
        assert_eq!(time.now(), T + 171 * SECOND);
    }

    #[test]
    fn a_leap_ahead_is_said_once_and_moves_nothing() {
        let (mut time, _) = TrustedTime::new(Some(T), T, mono(0));
        pass(&mut time, 0, 10 * SECOND, 0);
        let said = pass(&mut time, 10 * SECOND, 60 * SECOND, 40 * DAY as i64);
        let leapt = Said::Leapt {
            wall: T + 10_500 + 40 * DAY,
            trusted: T + 10_500,
        };
        assert_eq!(said, [leapt]);
        assert_eq!(time.now(), T + 70 * SECOND);
        assert_eq!(pass(&mut time, 70 * SECOND, SECOND, 0), [Said::Back]);
        assert_eq!(time.now(), T + 71 * SECOND);
    }

    #[test]
    fn a_clock_that_runs_far_too_fast_is_not_followed() {
        let (mut time, _) = TrustedTime::new(Some(T), T, mono(0));
        for step in 1..=3_600 {
            time.look(T + step * 500 * 100, mono(step * 500));
        }
        assert!(time.now() < T + 2_000 * SECOND, "{}", time.now() - T);
    }

    #[test]
    fn a_leap_is_believed_when_the_clock_has_kept_its_pace_for_long() {
        let steady = STEADY.as_millis() as u64;
        for days in [40, -40] {
            let off = days * DAY as i64;
            let (mut time, _) = TrustedTime::new(Some(T), T, mono(0));
            let said = pass(&mut time, 0, steady, off);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(time.now() <= T + steady);
            assert_eq!(pass(&mut time, steady, SECOND, off), [Said::Believed]);
            let wall = (T + steady + SECOND).checked_add_signed(off).unwrap();
            assert_eq!((time.now(), time.mark()), (wall, wall));
        }
    }

    #[test]
    fn a_start_with_another_clock_goes_on_from_the_mark() {
        let wall = T + 40 * DAY;
        let (mut time, said) = TrustedTime::new(Some(T), wall, mono(0));
        assert_eq!(said, Some(Said::Elsewhere { wall, trusted: T }));
        assert_eq!(time.now(), T);
        pass(&mut time, 0, 60 * SECOND, 40 * DAY as i64);
        // The next process, with the right clock.
        let (time, said) = TrustedTime::new(Some(time.mark()), T + 62 * SECOND, mono(0));
        assert_eq!((time.now(), said), (T + 62 * SECOND, None));
    }

    #[test]
    fn nothing_is_old_by_a_time_that_the_clock_has_not_reached() {
        let (time, said) = TrustedTime::new(Some(T), T - 40 * DAY, mono(0));
        assert!(matches!(said, Some(Said::Elsewhere { .. })));
        assert_eq!((time.now(), time.mark()), (T - 40 * DAY, T));
        let (time, said) = TrustedTime::new(None, T, mono(0));
        assert_eq!((time.now(), said), (T, None), "a store without a mark");
    }

    #[test]
    fn the_trusted_time_continues_after_the_store_was_closed() {
        let sql = Connection::open_in_memory().unwrap();
        sql.execute_batch(
            "CREATE TABLE journal (seq INTEGER PRIMARY KEY, time INTEGER);
             CREATE TABLE trusted_time (time INTEGER)",
        )
        .unwrap();
        assert_eq!(trusted_now(&sql, T).unwrap(), T, "of an empty one");
        let decided = "INSERT INTO journal (time) VALUES (?1)";
        sql.execute(decided, [T as i64]).unwrap();
        let wall = T + 40 * DAY;
        assert_eq!(trusted_now(&sql, wall).unwrap(), T, "without a mark");
        let marked = "INSERT INTO trusted_time VALUES (?1)";
        sql.execute(marked, [(T + DAY) as i64]).unwrap();
        assert_eq!(trusted_now(&sql, wall).unwrap(), T + DAY);
        assert_eq!(trusted_now(&sql, T).unwrap(), T, "the clock is behind");
        let soon = T + DAY + 60 * SECOND;
        assert_eq!(trusted_now(&sql, soon).unwrap(), soon);
    }
}
