//! The hosts on a store. These tables have a row for each host, duty and partition.

use super::row::{get, unsigned};
use crate::store::duties::TIMERS;
use crate::store::hosts::{HostPartition, HostRow};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::membership::SILENCE;
use crate::store::postgres::session::Sql;

/// Hosts that have been gone for longer than this are not told, in hours.
const TOLD_FOR: f64 = 24.0;

/// The hosts that have not left, in the order of their rows.
pub(super) fn all(sql: &Sql) -> SqlResult<Vec<HostRow>> {
    let rows = sql.query(
        "SELECT id, name, (extract(epoch FROM since) * 1000)::bigint,
             greatest(0, extract(epoch FROM clock_timestamp() - seen) * 1000)::bigint,
             seen < clock_timestamp() - $1 * interval '1 second', followed = epoch, behind FROM hosts
         WHERE id > 0 AND seen >= clock_timestamp() - $2 * interval '1 hour' ORDER BY id",
        &[&SILENCE.as_secs_f64(), &TOLD_FOR],
    )?;
    let mut hosts = Vec::with_capacity(rows.len());
    for row in &rows {
        hosts.push(HostRow {
            id: get(row, 0)?,
            name: get(row, 1)?,
            since: unsigned(row, 2)?,
            silent_ms: unsigned(row, 3)?,
            is_gone: get(row, 4)?,
            is_current: get(row, 5)?,
            behind: get(row, 6)?,
            ..HostRow::default()
        });
    }
    for row in sql.query("SELECT host, duty FROM candidates ORDER BY duty", &[])? {
        let duty: String = get(&row, 1)?;
        if let (Some(host), Some(name)) = (of(&mut hosts, &row)?, duty.strip_prefix(TIMERS)) {
            host.participants.push(name.to_owned());
        }
    }
    let duties = "SELECT d.host, d.name FROM duties d JOIN hosts h ON h.id = d.host AND h.incarnation = d.incarnation
                  ORDER BY d.name";
    for row in sql.query(duties, &[])? {
        if let Some(host) = of(&mut hosts, &row)? {
            host.add_duty(get(&row, 1)?);
        }
    }
    let partitions = "SELECT o.owner, t.name, o.partition, o.consumer FROM offsets o JOIN topics t ON t.id = o.topic
                      WHERE o.owner IS NOT NULL ORDER BY t.name, o.partition, o.consumer";
    for row in sql.query(partitions, &[])? {
        if let Some(host) = of(&mut hosts, &row)? {
            host.add_partition(HostPartition {
                topic: get(&row, 1)?,
                partition: get(&row, 2)?,
                consumer: get(&row, 3)?,
            });
        }
    }
    Ok(hosts)
}

/// The host that the first column of a row names, if it is told.
fn of<'h>(
    hosts: &'h mut [HostRow],
    row: &tokio_postgres::Row,
) -> SqlResult<Option<&'h mut HostRow>> {
    let id: i64 = get(row, 0)?;
    Ok(hosts.iter_mut().find(|host| host.id == id))
}
