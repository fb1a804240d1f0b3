//! Offsets of consumers, and the identities of the topics that they read.

use saga_core::commit::Offset;

use crate::base::session::Proof;
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;
use crate::store::streams::ReadPartition;

/// Writes the offset at which a consumer resumes, and the proof of the record before it.
pub(in crate::store::postgres) fn write_place(
    sql: &Sql,
    consumer: &str,
    topic: i64,
    partition: i32,
    (next, last): (i64, Option<Proof>),
) -> SqlResult<()> {
    let time = last.map(|last| last.time);
    let print = last.map(|last| last.print.cast_signed());
    sql.execute(
        "INSERT INTO offsets (consumer, topic, partition, next_offset, last_time, last_print)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset,
             last_time = excluded.last_time, last_print = excluded.last_print",
        &[&consumer, &topic, &partition, &next, &time, &print],
    )
    .map(drop)
}

/// Writes the offset at which a consumer resumes, unless another host has claimed the partition.
pub(in crate::store::postgres) fn write(sql: &Sql, offset: &Offset) -> SqlResult<()> {
    let rows = sql.execute(
        "INSERT INTO offsets AS old (consumer, topic, partition, next_offset, epoch) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
         WHERE old.epoch = excluded.epoch",
        &[&&*offset.consumer, &offset.topic, &offset.partition, &offset.next, &offset.epoch],
    )?;
    match rows {
        0 => Err(SqlError::Superseded(
            "another host has claimed the partition",
        )),
        _ => Ok(()),
    }
}

/// Makes a partition this host's to read, and returns its new epoch. Waits for a commit of the host
/// that had it.
pub(in crate::store::postgres) fn claim(
    sql: &Sql,
    consumer: &str,
    (topic, partition): (i64, i32),
    host: i64,
) -> SqlResult<i64> {
    let row = sql.one(
        "INSERT INTO offsets AS old (consumer, topic, partition, epoch, owner) VALUES ($1, $2, $3, 1, $4)
         ON CONFLICT (consumer, topic, partition) DO UPDATE SET epoch = old.epoch + 1, owner = excluded.owner
         RETURNING epoch",
        &[&consumer, &topic, &partition, &host],
    )?;
    Ok(row.try_get(0)?)
}

/// Makes a partition resume at this offset, whatever was read before. With `log`, the records from
/// there on are other ones than those that had the same offsets before.
pub(in crate::store::postgres) fn seek(
    sql: &Sql,
    read: &ReadPartition,
    next: i64,
    log: Option<&str>,
) -> SqlResult<()> {
    sql.execute(
        "UPDATE offsets SET next_offset = $4, last_time = NULL, last_print = NULL, log = coalesce($5, log)
         WHERE consumer = $1 AND topic = $2 AND partition = $3",
        &[&read.consumer, &read.topic_row, &read.partition, &next, &log],
    )
    .map(drop)
}

/// Records that a consumer reads its first topic of this name. The partitions start at `starts`
/// unless offsets are stored.
pub(in crate::store::postgres) fn first_topic(
    sql: &Sql,
    consumer: &str,
    topic: i64,
    id: &str,
    starts: &[(i32, i64)],
) -> SqlResult<()> {
    let noted = sql.execute(
        "INSERT INTO topic_ids AS old (consumer, topic, id) VALUES ($1, $2, $3)
         ON CONFLICT (consumer, topic) DO UPDATE SET id = excluded.id WHERE old.id = excluded.id",
        &[&consumer, &topic, &id],
    )?;
    if noted == 0 {
        return Err(SqlError::Superseded(
            "another host has noted another topic of this name",
        ));
    }
    for (partition, offset) in starts {
        sql.execute(
            "INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&consumer, &topic, partition, offset],
        )?;
    }
    Ok(())
}

/// Records that a consumer reads another topic of this name, from its beginning.
pub(in crate::store::postgres) fn next_topic(
    sql: &Sql,
    consumer: &str,
    topic: i64,
    id: &str,
) -> SqlResult<()> {
    let is_new = sql.execute(
        "UPDATE topic_ids SET id = $3 WHERE consumer = $1 AND topic = $2 AND id <> $3",
        &[&consumer, &topic, &id],
    )?;
    if is_new == 0 {
        // Another host was first, and may have read something since.
        return Ok(());
    }
    // What other hosts have in flight is of the former topic.
    sql.execute(
        "UPDATE offsets SET next_offset = 0, epoch = epoch + 1, last_time = NULL, last_print = NULL, log = NULL
         WHERE consumer = $1 AND topic = $2",
        &[&consumer, &topic],
    )
    .map(drop)
}
