//! States after crashes, backups at every moment, and permanent readers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use tempfile::TempDir;

use super::*;
use crate::store::sqlite::file::{FILE_NAME, StoreFile};
use crate::store::sqlite::log_note::MOST;

struct Rig {
    data: TempDir,
    /// Holds the lock and opens connections.
    file: StoreFile,
    sql: Connection,
    mark: LogMark,
}

fn rig() -> Rig {
    let data = tempfile::tempdir().unwrap();
    let file = StoreFile::open(data.path()).unwrap();
    let mut sql = file.writing().unwrap();
    let (mark, _) = file.guard(&mut sql).unwrap();
    Rig {
        data,
        file,
        sql,
        mark,
    }
}

impl Rig {
    fn commit(&self) {
        let insert = "INSERT INTO topics (name) VALUES (hex(randomblob(2000)))";
        self.sql.execute(insert, []).unwrap();
    }

    /// The files as a crash at this moment would leave them.
    fn crashed(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for end in ["", "-wal", "-mark"] {
            let from = beside(&self.data.path().join(FILE_NAME), end);
            let to = beside(&copy.path().join(FILE_NAME), end);
            // Copied by another process: if ours closed the file, its locks would end.
            let copied = std::process::Command::new("cp").arg(from).arg(to).status();
            assert!(copied.unwrap().success());
        }
        copy
    }

    /// A passive checkpoint: it transfers as much as readers allow.
    fn checkpoint_passively(&self) {
        let passive = "PRAGMA wal_checkpoint(PASSIVE)";
        self.sql.query_row(passive, [], |_| Ok(())).unwrap();
    }

    fn mark_of_file(&self) -> String {
        mark_in_file(&self.data.path().join(FILE_NAME)).unwrap()
    }

    /// A backup of the present content.
    fn backup(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join(FILE_NAME);
        self.sql
            .execute("VACUUM INTO ?1", [to.to_str().unwrap()])
            .unwrap();
        copy
    }
}

fn judged(directory: &Path) -> Option<Mismatch> {
    judge(&directory.join(FILE_NAME))
}

/// A checkpoint in its single steps, with a call of `look` after each.
fn checkpoint_by_steps(rig: &mut Rig, mut look: impl FnMut(&Rig, &str)) {
    rig.commit();
    look(rig, "commit");
    rig.mark.renew(&rig.sql).unwrap();
    look(rig, "new mark before");
    rig.mark.allow_current().unwrap();
    look(rig, "note");
    rig.checkpoint_passively();
    look(rig, "checkpoint");
    rig.commit();
    look(rig, "commit after it");
    rig.mark.checkpoint(&rig.sql).unwrap();
    look(rig, "new mark");
    rig.commit();
    look(rig, "commit with it");
}

#[test]
fn no_state_that_a_crash_leaves_is_refused() {
    let mut rig = rig();
    for round in 0..3 {
        checkpoint_by_steps(&mut rig, |rig, step| {
            let crashed = rig.crashed();
            assert_eq!(judged(crashed.path()), None, "{round}, {step}");
            // The next start continues from it.
            let file = StoreFile::open(crashed.path()).unwrap();
            let mut sql = file.writing().unwrap();
            file.guard(&mut sql).unwrap();
            assert_eq!(topics(&sql), topics(&rig.sql), "{round}, {step}");
        });
    }
    rig.mark.close(&rig.sql).unwrap();
    assert_eq!(judged(rig.crashed().path()), None, "closed");
}

#[test]
fn a_note_that_a_power_loss_takes_back_allows_more_and_not_less() {
    let mut rig = rig();
    rig.commit();
    rig.mark.renew(&rig.sql).unwrap();
    rig.mark.allow_current().unwrap();
    let synced = rig.crashed();
    rig.checkpoint_passively();
    // As after a complete checkpoint, which `checkpoint` does not sync.
    rig.mark.note.file = vec![rig.mark.current.clone()];
    rig.mark.renew(&rig.sql).unwrap();
    rig.mark.note.log = Some(rig.mark.current.clone());
    rig.mark.write().unwrap();
    rig.commit();
    let crashed = rig.crashed();
    assert_eq!(judged(crashed.path()), None);
    let note = |directory: &Path| beside(&directory.join(FILE_NAME), "-mark");
    std::fs::copy(note(synced.path()), note(crashed.path())).unwrap();
    assert_eq!(judged(crashed.path()), None);
}

#[test]
fn a_backup_of_any_moment_does_not_fit_the_log_of_a_later_one() {
    let mut rig = rig();
    let mut backups = vec![rig.backup()];
    let mut refused = 0;
    for _ in 0..3 {
        checkpoint_by_steps(&mut rig, |rig, step| {
            // During a checkpoint the file may be as any reader sees it.
            if step != "commit" && step != "commit with it" {
                return;
            }
            for backup in &backups {
                let mixed = rig.crashed();
                let db = mixed.path().join(FILE_NAME);
                std::fs::copy(backup.path().join(FILE_NAME), &db).unwrap();
                assert_eq!(judged(mixed.path()), Some(Mismatch::OtherFile), "{step}");
                refused += 1;
                std::fs::remove_file(beside(&db, "-wal")).unwrap();
                assert_eq!(judged(mixed.path()), None, "without the log");
            }
            backups.push(rig.backup());
        });
    }
    assert!(refused > 10);
}

#[test]
fn an_older_file_without_a_mark_does_not_fit_a_log() {
    let rig = rig();
    rig.commit();
    let crashed = rig.crashed();
    let db = crashed.path().join(FILE_NAME);
    // SQLite would remove the log of a missing file.
    let old = crashed.path().join("old.db");
    let sql = Connection::open(&old).unwrap();
    sql.execute_batch("CREATE TABLE participants (id)").unwrap();
    drop(sql);
    std::fs::remove_file(&db).unwrap();
    assert_eq!(judged(crashed.path()), Some(Mismatch::FileMissing));
    std::fs::rename(old, &db).unwrap();
    assert_eq!(judged(crashed.path()), Some(Mismatch::OtherFile));
    // Without a note nothing is detected.
    std::fs::write(beside(&db, "-mark"), "torn").unwrap();
    assert_eq!(judged(crashed.path()), None);
}

#[test]
fn a_reader_that_stays_holds_the_log_back_for_as_long_only() {
    let mut rig = rig();
    let reader = rig.file.reading().unwrap();
    let old = reader.unchecked_transaction().unwrap();
    let _: i64 = old
        .query_row("SELECT count(*) FROM topics", [], |row| row.get(0))
        .unwrap();
    for _ in 0..2 * MOST {
        rig.commit();
        rig.mark.checkpoint(&rig.sql).unwrap();
        assert!(rig.mark.again.take().is_some());
    }
    assert_eq!(judged(rig.crashed().path()), None);
    let mixed = rig.crashed();
    let backup = rig.backup();
    let name = |directory: &TempDir| directory.path().join(FILE_NAME);
    std::fs::copy(name(&backup), name(&mixed)).unwrap();
    assert_eq!(judged(mixed.path()), Some(Mismatch::OtherFile));
    drop(old);
    rig.mark.again = Some(Instant::now());
    assert!(rig.mark.checkpoint_if_due(&rig.sql, true).unwrap());
    assert_eq!(rig.mark.again, None);
    assert!(!rig.mark.checkpoint_if_due(&rig.sql, true).unwrap());
}

/// A program that keeps reading the present snapshot.
fn reader(rig: &Rig) -> Connection {
    let reader = rig.file.reading().unwrap();
    reader.execute_batch("BEGIN").unwrap();
    topics(&reader);
    reader
}

fn topics(sql: &Connection) -> i64 {
    sql.query_row("SELECT count(*) FROM topics", [], |row| row.get(0))
        .unwrap()
}

/// The files after a power loss that undoes the unsynced writes of the store's file.
fn taken_back(rig: &Rig, synced: &TempDir) -> TempDir {
    let crashed = rig.crashed();
    let name = |directory: &TempDir| directory.path().join(FILE_NAME);
    std::fs::copy(name(synced), name(&crashed)).unwrap();
    crashed
}

/// The next start recovers from a crash, and finds this many topics.
fn goes_on(crashed: &TempDir, expected: i64, step: usize) {
    assert_eq!(judged(crashed.path()), None, "{step}");
    let file = StoreFile::open(crashed.path()).unwrap();
    let mut sql = file.writing().unwrap();
    file.guard(&mut sql).unwrap();
    assert_eq!(topics(&sql), expected, "{step}");
}

#[test]
fn a_file_that_a_power_loss_takes_back_while_somebody_reads_is_not_refused() {
    let mut rig = rig();
    rig.commit();
    // A permanent reader, so no checkpoint is complete, and none syncs the file.
    let mut reading = reader(&rig);
    let mut earlier = vec![rig.crashed()];
    for attempt in 0..2 * MOST {
        rig.commit();
        rig.mark.checkpoint(&rig.sql).unwrap();
        assert!(rig.mark.again.is_some(), "took all");
        for file in &earlier {
            goes_on(&taken_back(&rig, file), topics(&rig.sql), attempt);
        }
        // Another program takes a checkpoint up to the snapshot of the next reader.
        reading = reader(&rig);
        rig.commit();
        rig.checkpoint_passively();
        assert_eq!(rig.mark_of_file(), rig.mark.current);
        assert_eq!(rig.mark.is_still_ours(), Some(true));
        if earlier.len() < 4 {
            earlier.push(rig.crashed());
        }
    }
    drop(reading);
    rig.mark.checkpoint(&rig.sql).unwrap();
    assert_eq!(rig.mark.note.file, [rig.mark_of_file()]);
}

#[test]
fn a_start_does_not_take_what_it_finds_for_synced() {
    let mut rig = rig();
    rig.commit();
    let synced = rig.crashed();
    let _reading = reader(&rig);
    rig.commit();
    rig.checkpoint_passively();
    assert_eq!(rig.mark.is_still_ours(), Some(true));
    // The process ends, and a reader is active when the next one starts.
    let data = rig.crashed();
    let file = StoreFile::open(data.path()).unwrap();
    let mut sql = file.writing().unwrap();
    let reading = file.reading().unwrap();
    reading.execute_batch("BEGIN").unwrap();
    topics(&reading);
    let (mark, _) = file.guard(&mut sql).unwrap();
    assert!(mark.again.is_some(), "took all");
    let next = Rig {
        data,
        file,
        sql,
        mark,
    };
    goes_on(&taken_back(&next, &synced), topics(&rig.sql), 0);
}

#[test]
fn a_checkpoint_of_another_program_just_before_a_crash_loses_nothing() {
    let rig = rig();
    rig.commit();
    // Nobody has noticed it yet.
    rig.checkpoint_passively();
    rig.commit();
    let crashed = rig.crashed();
    let refused = StoreFile::open(crashed.path()).err().unwrap().to_string();
    let remedy = "keep the log, which has the latest commits, and move saga.db-mark away";
    assert!(refused.contains(remedy), "{refused}");
    std::fs::remove_file(beside(&crashed.path().join(FILE_NAME), "-mark")).unwrap();
    goes_on(&crashed, topics(&rig.sql), 0);
}

#[test]
fn a_note_is_read_as_it_was_written() {
    let mut rig = rig();
    for (marks, log) in [(1, None), (2, Some("b")), (MOST, None)] {
        rig.mark.note = LogNote {
            file: (0..marks)
                .map(|mark| if mark == 1 { String::new() } else { new_mark() })
                .collect(),
            log: log.map(str::to_owned),
            inode: u64::MAX,
        };
        rig.mark.write().unwrap();
        assert_eq!(
            LogNote::read(&rig.mark.sidecar),
            Some(rig.mark.note.clone())
        );
    }
    rig.mark.note.add(new_mark());
    rig.mark.write().unwrap();
    assert_eq!(LogNote::read(&rig.mark.sidecar), None, "too many to say");
    rig.mark.checkpoint(&rig.sql).unwrap();
    let again = LogNote::read(&rig.mark.sidecar);
    assert_eq!(again.map(|note| note.file.len()), Some(1));
}
