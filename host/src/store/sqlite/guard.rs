//! Upkeep of the store by its writer: the presence of the files, the checkpoints of the log, the
//! time by which old rows are deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::lock_holders::{self, LockFile};
use super::log_mark::LogMark;
use super::presence::{FileExtent, FoundFiles, Presence};
use super::trusted_time::{STEADY, Said, TrustedTime, last_open};
use crate::base::clock::{now_ms, rfc3339};
use crate::store::condition::Condition;
use crate::store::fault::{StoreFault, StoreFaultKind};

/// The remedy for files that are gone.
const PUT_BACK: &str = "put the files back, or restore a backup, before the next start";

/// Shortest interval of the checks of all files; the store and its log are checked after each
/// commit.
const LOOK: Duration = Duration::from_millis(200);

/// Failed reads in a row of a file that another process has written, before it is given up.
const PATIENCE: u32 = 10;

/// Interval at which the trusted time is stored.
const MARK: Duration = Duration::from_secs(60);

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// Takes care of a store's upkeep.
pub(super) struct Guard {
    condition: Arc<Condition>,
    presence: Presence,
    looked: Option<Instant>,
    unreadable: u32,
    log_mark: LogMark,
    time: TrustedTime,
    /// The trusted time, for other threads.
    now: Arc<AtomicU64>,
    began: Instant,
    marked: Option<Instant>,
    /// Bytes that the file may have, together with its log if that can't shrink; 0 for no bound.
    max_bytes: u64,
    /// The file on which other programs' locks are looked up.
    index: LockFile,
}

impl Guard {
    /// The guard of the store that this connection writes.
    pub(super) fn new(
        sql: &Connection,
        condition: Arc<Condition>,
        (log_mark, presence): (LogMark, Presence),
        now: Arc<AtomicU64>,
    ) -> rusqlite::Result<Self> {
        let (time, said) = TrustedTime::new(last_open(sql)?, now_ms(), Duration::ZERO);
        said.into_iter().for_each(say);
        now.store(time.now(), Ordering::Relaxed);
        Ok(Self {
            condition,
            presence,
            looked: None,
            unreadable: 0,
            log_mark,
            time,
            now,
            began: Instant::now(),
            marked: None,
            max_bytes: 0,
            index: LockFile::none(),
        })
    }

    /// Sets the bound of the bytes of the file and its log, and the file with the locks.
    pub(super) fn bounded(self, max_bytes: u64, index: LockFile) -> Self {
        Self {
            max_bytes,
            index,
            ..self
        }
    }

    /// The reason why nothing more may be written for lack of room, if so: a program that reads an
    /// old snapshot keeps the log from shrinking, and the log and the file exceed the bound.
    pub(super) fn lacks_room(&mut self) -> Option<StoreFault> {
        if self.max_bytes == 0 {
            return None;
        }
        let log = self.log_mark.surplus()?;
        if self.presence.bytes().saturating_add(log) <= self.max_bytes {
            return None;
        }
        let readers = lock_holders::readers(self.index);
        if readers.is_none() {
            self.log_mark.try_soon();
        }
        let text = format!(
            "store.max_bytes is reached: the store's log has {} MiB and can't shrink, because {} keeps reading an old state; end \
             that program, or its transaction",
            log >> 20,
            readers.as_deref().unwrap_or("a program")
        );
        Some(StoreFault::new(StoreFaultKind::Passing, text))
    }

    /// To be called between a commit and its acknowledgement. Returns an error if the commit must
    /// not be acknowledged.
    pub(super) fn after_commit(&mut self) -> Result<(), StoreFault> {
        let is_time = self.is_time_to_look();
        self.look(is_time)
    }

    /// To be called when nothing waits for an acknowledgement, at least twice a second.
    pub(super) fn tend(&mut self, sql: &Connection, is_idle: bool) {
        if self.is_time_to_look() {
            // It is logged, and reported with the next commit.
            let _ = self.look(true);
        }
        if self.condition.refusal().is_some() {
            return;
        }
        match self.log_mark.checkpoint_if_due(sql, is_idle) {
            Ok(true) => self.presence.note_written(),
            Ok(false) => {}
            Err(error) => {
                self.presence.note_written();
                self.report("the log can't be brought into the store's file", &error);
            }
        }
    }

    /// The time by which old rows are deleted, in milliseconds since the Unix epoch.
    pub(super) fn time(&mut self, sql: &Connection) -> rusqlite::Result<u64> {
        if let Some(said) = self.time.look(now_ms(), self.began.elapsed()) {
            say(said);
        }
        self.now.store(self.time.now(), Ordering::Relaxed);
        if self.marked.is_none_or(|marked| marked.elapsed() >= MARK) {
            write_time(sql, self.time.mark())?;
            self.marked = Some(Instant::now());
        }
        Ok(self.time.now())
    }

    /// The lowest possible present time, as of the last [`Self::time`], in milliseconds since the
    /// Unix epoch: a clock that shows an earlier time is in doubt.
    pub(super) fn passed(&self) -> u64 {
        self.time.mark()
    }

    /// Leaves a database file that stands alone.
    pub(super) fn close(&mut self, sql: &Connection) {
        if self.look(true).is_err() || self.condition.refusal().is_some() {
            return;
        }
        self.time.look(now_ms(), self.began.elapsed());
        // If these fail, the next start knows less, and recovers from the log.
        let _ = write_time(sql, self.time.mark());
        let _ = self.log_mark.close(sql);
    }

    fn is_time_to_look(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
    }

    fn look(&mut self, at_all: bool) -> Result<(), StoreFault> {
        let extent = if at_all {
            self.looked = Some(Instant::now());
            FileExtent::All
        } else {
            FileExtent::Store
        };
        match self.presence.look(extent) {
            FoundFiles::AllThere => {
                if at_all {
                    self.unreadable = 0;
                }
                Ok(())
            }
            FoundFiles::Written => self.was_written(),
            FoundFiles::Gone(reason) => Err(self.condition.is_gone(reason, PUT_BACK)),
        }
    }

    /// Another process wrote the store's file: a checkpoint, or another file was copied over it.
    fn was_written(&mut self) -> Result<(), StoreFault> {
        match self.log_mark.is_still_ours() {
            Some(true) => {
                self.unreadable = 0;
                self.presence.note_written();
                return Ok(());
            }
            None if self.unreadable < PATIENCE => {
                self.unreadable += 1;
                return Ok(());
            }
            Some(false) | None => {}
        }
        let reason = "saga.db is not the store any more that this host has open: another file was copied over it";
        Err(self.condition.is_gone(reason.into(), PUT_BACK))
    }

    fn report(&self, what: &'static str, error: &anyhow::Error) {
        let fault = match error.downcast_ref::<rusqlite::Error>() {
            Some(error) => StoreFault::from(error),
            None => StoreFault::new(StoreFaultKind::Passing, error.to_string()),
        };
        self.condition.report(what, &fault);
    }
}

fn write_time(sql: &Connection, time: u64) -> rusqlite::Result<()> {
    let rows = (sql.prepare_cached("UPDATE trusted_time SET time = ?1")?).execute([time as i64])?;
    if rows == 0 {
        sql.execute("INSERT INTO trusted_time VALUES (?1)", [time as i64])?;
    }
    Ok(())
}

fn say(said: Said) {
    let minutes = STEADY.as_secs() / 60;
    match said {
        // A host that was down for some hours is no cause for concern.
        Said::Elsewhere { wall, trusted } if (trusted..trusted + DAY).contains(&wall) => {
            tracing::info!(
                clock = %rfc3339(wall), last_open = %rfc3339(trusted),
                "by the clock the store was not open for {}; old rows are deleted as by the time before for the next {minutes} minutes",
                span(wall, trusted)
            )
        }
        Said::Elsewhere { wall, trusted } => tracing::warn!(
            clock = %rfc3339(wall), last_open = %rfc3339(trusted),
            "the clock is {} {} the time at which the store was last open; {}",
            span(wall, trusted), side(wall, trusted), consequence(minutes)
        ),
        Said::Leapt { wall, trusted } => tracing::warn!(
            clock = %rfc3339(wall), expected = %rfc3339(trusted),
            "the clock leapt: it is {} {} the expected time; {}",
            span(wall, trusted), side(wall, trusted), consequence(minutes)
        ),
        Said::Back => tracing::info!("the clock is right again"),
        Said::Believed => {
            tracing::info!("the clock has kept its pace; old rows are deleted by it again");
        }
    }
}

fn consequence(minutes: u64) -> String {
    format!(
        "it is believed if it keeps its pace for {minutes} minutes, until then old rows are deleted as by the time before; \
         timers go by the clock"
    )
}

fn side(wall: u64, trusted: u64) -> &'static str {
    if wall > trusted { "ahead of" } else { "behind" }
}

/// The offset of the clock, in a suitable unit.
fn span(wall: u64, trusted: u64) -> String {
    let minutes = wall.abs_diff(trusted) / 60_000;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1_440),
    }
}
