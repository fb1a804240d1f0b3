//! Recorded decisions in the journal, compressed.
//!
//! Decisions on messages of one name resemble each other: the first one that is committed is kept as
//! the dictionary of later ones, of which little more than ids and numbers is left. A dictionary is
//! replaced after half of the retention, so that it goes soon after the decision that it was. A packed
//! decision is the number of its dictionary (0 for none), then the decision: with a dictionary its
//! length and an LZ4 block, without one its bytes as they are. Numbers are those of postcard.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::Write;
use saga_core::journal;
use saga_core::message::Origin;

use crate::store::entry::Handed;

/// Most bytes of a dictionary. Compression reads it all each time.
const DICTIONARY: usize = 2_048;

/// Least bytes of a dictionary that is worth having.
const LEAST: usize = 16;

/// The dictionaries by the names of their messages.
#[derive(Debug)]
pub(super) struct Dictionaries {
    known: RwLock<HashMap<String, Vec<Known>>>,
    last: AtomicI64,
    /// Milliseconds for which a dictionary is used.
    used_for: u64,
}

#[derive(Debug)]
struct Known {
    participant: i64,
    origin: Origin,
    /// None until it is committed.
    dictionary: Option<Arc<Dictionary>>,
}

#[derive(Debug)]
struct Dictionary {
    id: i64,
    /// Time of the last decision that may use it, in milliseconds since the Unix epoch.
    used_until: u64,
    bytes: Vec<u8>,
}

/// A dictionary to be written.
pub(super) struct NewDictionary {
    id: i64,
    participant: i64,
    origin: Origin,
    name: String,
    used_until: u64,
    bytes: Vec<u8>,
}

impl Dictionaries {
    /// Loads those of the store, of which each is used for this many milliseconds.
    pub(super) fn load(sql: &Connection, used_for: u64) -> rusqlite::Result<Self> {
        let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dictionaries'";
        let loaded = Self {
            known: RwLock::default(),
            last: AtomicI64::new(sql.query_row(last, [], |row| row.get(0))?),
            used_for,
        };
        let mut statement = sql.prepare(
            "SELECT id, participant, origin, name, used_until, bytes FROM dictionaries ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let origin: String = row.get(2)?;
            let new = NewDictionary {
                id: row.get(0)?,
                participant: row.get(1)?,
                origin: Origin::of_word(&origin).ok_or(rusqlite::Error::InvalidQuery)?,
                name: row.get(3)?,
                used_until: row.get::<_, i64>(4)? as u64,
                bytes: row.get(5)?,
            };
            loaded.is_written(new, true);
        }
        Ok(loaded)
    }

    /// Packs the decisions of an entry that is about to be handed over. Returns a dictionary to write
    /// if one was missing; until [`Self::is_written`] is called, no other one is asked for.
    pub(super) fn pack(&self, handed: &mut Handed) -> Option<NewDictionary> {
        let participant = handed.entry.participant;
        let mut new = None;
        for write in &mut handed.entry.writes {
            if let Write::Journal(entry) = write {
                let (packed, missing) = self.packed(participant, &entry.decision, entry.time);
                entry.decision = packed;
                new = new.or(missing);
            }
        }
        new
    }

    /// A decision, packed; and a dictionary to write if one was missing.
    pub(super) fn packed(
        &self,
        participant: i64,
        plain: &[u8],
        time: u64,
    ) -> (Vec<u8>, Option<NewDictionary>) {
        let Ok((origin, name)) = journal::subject(plain) else {
            return (without_dictionary(plain), None);
        };
        let subject = (participant, origin, name);
        let known = self.known.read();
        let present = known
            .get(name)
            .and_then(|of_name| present(of_name, subject, time));
        match present.map(|known| known.dictionary.clone()) {
            Some(Some(dictionary)) => (dictionary.pack(plain), None),
            Some(None) => (without_dictionary(plain), None),
            None => {
                drop(known);
                let new = self.missing(subject, plain, time);
                (without_dictionary(plain), new)
            }
        }
    }

    /// Begins a dictionary with this decision, unless another thread has just done so.
    fn missing(
        &self,
        subject: (i64, Origin, &str),
        plain: &[u8],
        time: u64,
    ) -> Option<NewDictionary> {
        if plain.len() < LEAST {
            return None;
        }
        let (participant, origin, name) = subject;
        let mut known = self.known.write();
        let of_name = known.entry(name.to_owned()).or_default();
        if present(of_name, subject, time).is_some() {
            return None;
        }
        of_name.retain(|known| !known.is(participant, origin));
        of_name.push(Known {
            participant,
            origin,
            dictionary: None,
        });
        Some(NewDictionary {
            id: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            participant,
            origin,
            name: name.to_owned(),
            used_until: time.saturating_add(self.used_for).min(i64::MAX as u64),
            bytes: plain.get(..DICTIONARY).unwrap_or(plain).to_owned(),
        })
    }

    /// Notes that a dictionary is committed, or could not be written.
    pub(super) fn is_written(&self, new: NewDictionary, is_written: bool) {
        let mut known = self.known.write();
        let of_name = known.entry(new.name).or_default();
        of_name.retain(|known| !known.is(new.participant, new.origin));
        if is_written {
            of_name.push(Known {
                participant: new.participant,
                origin: new.origin,
                dictionary: Some(Arc::new(Dictionary {
                    id: new.id,
                    used_until: new.used_until,
                    bytes: new.bytes,
                })),
            });
        }
    }
}

/// Deletes the dictionaries that no decision since this time has used. There are few.
pub(super) fn prune(sql: &Connection, before: i64) -> rusqlite::Result<()> {
    let any = sql
        .prepare_cached("SELECT 1 FROM dictionaries WHERE used_until < ?1")?
        .exists([before])?;
    if any {
        sql.execute("DELETE FROM dictionaries WHERE used_until < ?1", [before])?;
    }
    Ok(())
}

/// The entry of a kind of message whose dictionary is still used at this time, or is being written.
fn present<'k>(
    of_name: &'k [Known],
    (participant, origin, _): (i64, Origin, &str),
    time: u64,
) -> Option<&'k Known> {
    let known = of_name.iter().find(|known| known.is(participant, origin));
    known.filter(|known| {
        let dictionary = known.dictionary.as_ref();
        dictionary.is_none_or(|dictionary| time <= dictionary.used_until)
    })
}

impl Known {
    fn is(&self, participant: i64, origin: Origin) -> bool {
        self.participant == participant && self.origin == origin
    }
}

impl NewDictionary {
    /// Writes it.
    pub(super) fn write(&self, sql: &Connection) -> rusqlite::Result<()> {
        sql.prepare_cached(
            "INSERT INTO dictionaries (id, participant, origin, name, used_until, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            self.id,
            self.participant,
            self.origin.word(),
            self.name,
            self.used_until as i64,
            self.bytes
        ])
        .map(drop)
    }
}

impl Dictionary {
    fn pack(&self, plain: &[u8]) -> Vec<u8> {
        let block = lz4_flex::block::compress_with_dict(plain, &self.bytes);
        if block.len() >= plain.len() {
            return without_dictionary(plain);
        }
        let numbers = (self.id.unsigned_abs(), plain.len() as u64);
        match postcard::to_extend(&numbers, Vec::with_capacity(2 * LEAST + block.len())) {
            Ok(mut packed) => {
                packed.extend_from_slice(&block);
                packed
            }
            Err(_) => without_dictionary(plain),
        }
    }
}

fn without_dictionary(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(1 + plain.len());
    packed.push(0);
    packed.extend_from_slice(plain);
    packed
}

/// Unpacks decisions, with the dictionaries that it has read so far.
pub(in crate::store::sqlite) struct Unpacking<'c> {
    sql: &'c Connection,
    known: HashMap<u64, Vec<u8>>,
}

impl<'c> Unpacking<'c> {
    pub(in crate::store::sqlite) fn new(sql: &'c Connection) -> Self {
        Self {
            sql,
            known: HashMap::new(),
        }
    }

    /// The decision as it was recorded; None if the bytes are no packed decision.
    pub(in crate::store::sqlite) fn unpack(
        &mut self,
        packed: &[u8],
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let Ok((id, rest)) = postcard::take_from_bytes::<u64>(packed) else {
            return Ok(None);
        };
        if id == 0 {
            return Ok(Some(rest.to_owned()));
        }
        if !self.known.contains_key(&id) {
            let found = self
                .sql
                .prepare_cached("SELECT bytes FROM dictionaries WHERE id = ?1")?
                .query_row([id as i64], |row| row.get(0))
                .optional()?;
            let Some(bytes) = found else {
                return Ok(None);
            };
            self.known.insert(id, bytes);
        }
        let dictionary = self.known.get(&id).map(Vec::as_slice).unwrap_or_default();
        let length = postcard::take_from_bytes::<u64>(rest).ok();
        Ok(length.and_then(|(length, block)| {
            let length = usize::try_from(length).ok()?;
            // A block grows to 255 times its size at most.
            let is_possible = length / 256 <= block.len();
            let unpacked = is_possible
                .then(|| lz4_flex::block::decompress_with_dict(block, length, dictionary).ok());
            unpacked?.filter(|plain| plain.len() == length)
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_core::message::Message;
    use saga_core::outcome::{Outcome, StateChange};

    use super::*;
    use crate::store::conformance::{message, nothing};
    use crate::store::sqlite::schema;

    fn decision(name: &str, number: usize) -> Vec<u8> {
        let message = Message {
            id: format!("01a2343a-4fe9-8079-bed4-210ab1d1{number:04x}"),
            source: "/saga/order".into(),
            origin: Origin::Event,
            body: format!(r#"{{"orderId":{number},"orderDetails":{{"customerId":{number}}}}}"#),
            ..message(name, "")
        };
        let outcome = Outcome {
            state: StateChange::Put(format!(r#"{{"customerId":{number},"state":"PENDING"}}"#)),
            ..nothing()
        };
        journal::encode(&message, None, &outcome).unwrap()
    }

    fn store() -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        sql
    }

    /// Packs as for participant 1 at the time 5,000, and writes a dictionary that is missing.
    fn pack(sql: &Connection, dictionaries: &Dictionaries, plain: &[u8]) -> Vec<u8> {
        pack_at(sql, dictionaries, plain, 5_000)
    }

    fn pack_at(sql: &Connection, dictionaries: &Dictionaries, plain: &[u8], time: u64) -> Vec<u8> {
        let (packed, new) = dictionaries.packed(1, plain, time);
        if let Some(new) = new {
            new.write(sql).unwrap();
            dictionaries.is_written(new, true);
        }
        packed
    }

    #[test]
    fn decisions_after_the_first_of_a_name_take_a_third_and_all_come_back() {
        let sql = store();
        let dictionaries = Dictionaries::load(&sql, 1_000).unwrap();
        let plain: Vec<_> = (0..300)
            .map(|number| decision("order.created", number))
            .collect();
        let packed: Vec<_> = (plain.iter())
            .map(|plain| pack(&sql, &dictionaries, plain))
            .collect();
        let mut unpacking = Unpacking::new(&sql);
        for (number, (plain, packed)) in plain.iter().zip(&packed).enumerate() {
            assert_eq!(unpacking.unpack(packed).unwrap().as_ref(), Some(plain));
            let is_small = packed.len() * 3 <= plain.len();
            assert_eq!(is_small, number > 0, "{} of {}", packed.len(), plain.len());
        }
        // After a start, the dictionary is the same.
        let again = Dictionaries::load(&sql, 1_000).unwrap();
        let last = plain.last().unwrap();
        assert_eq!(&pack(&sql, &again, last), packed.last().unwrap());
        // Another name has another one, with a number of its own.
        for number in 0..2 {
            let other = decision("order.cancelled", number);
            let packed = pack(&sql, &again, &other);
            assert_eq!(unpacking.unpack(&packed).unwrap(), Some(other));
        }
    }

    #[test]
    fn a_dictionary_is_used_once_it_is_committed_and_asked_for_again_if_it_was_not() {
        let sql = store();
        let dictionaries = Dictionaries::load(&sql, 1_000).unwrap();
        let plain = decision("order.created", 1);
        let (_, first) = dictionaries.packed(1, &plain, 5_000);
        let (packed, second) = dictionaries.packed(1, &plain, 5_000);
        assert_eq!((packed.first(), second.is_none()), (Some(&0), true));
        dictionaries.is_written(first.unwrap(), false);
        let (_, third) = dictionaries.packed(1, &plain, 5_000);
        let third = third.unwrap();
        third.write(&sql).unwrap();
        dictionaries.is_written(third, true);
        let (packed, none) = dictionaries.packed(1, &plain, 5_000);
        assert_eq!((packed.first(), none.is_none()), (Some(&2), true));
        let other_participant = dictionaries.packed(2, &plain, 5_000).1;
        assert!(other_participant.is_some());
    }

    #[test]
    fn a_dictionary_is_replaced_after_its_time_and_decisions_of_both_come_back() {
        let sql = store();
        let dictionaries = Dictionaries::load(&sql, 1_000).unwrap();
        let mut unpacking = Unpacking::new(&sql);
        let mut used = Vec::new();
        // The clock may have been set back in between.
        for (number, time) in [5_000, 6_000, 4_000, 6_001, 7_001, 7_002, 7_003]
            .into_iter()
            .enumerate()
        {
            let plain = decision("order.created", number);
            let packed = pack_at(&sql, &dictionaries, &plain, time);
            assert_eq!(unpacking.unpack(&packed).unwrap(), Some(plain));
            used.extend(packed.first().copied());
        }
        assert_eq!(used, [0, 1, 1, 0, 2, 0, 3]);
        // Numbers go on after a deletion and a start.
        sql.execute("DELETE FROM dictionaries", []).unwrap();
        let again = Dictionaries::load(&sql, 1_000).unwrap();
        let plain = decision("order.created", 1);
        let firsts = [0, 1].map(|_| pack(&sql, &again, &plain).first().copied());
        assert_eq!(firsts, [Some(0), Some(4)]);
    }

    #[test]
    fn what_is_no_packed_decision_is_none() {
        let sql = store();
        let dictionaries = Dictionaries::load(&sql, 1_000).unwrap();
        let plain = decision("order.created", 1);
        pack(&sql, &dictionaries, &plain);
        let packed = pack(&sql, &dictionaries, &plain);
        let mut unpacking = Unpacking::new(&sql);
        let damaged: [&[u8]; 5] = [
            b"",
            &[0x80],
            &[9, 1, 0],
            &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0],
            packed.get(..packed.len() - 1).unwrap(),
        ];
        for bytes in damaged {
            assert_eq!(unpacking.unpack(bytes).unwrap(), None, "{bytes:?}");
        }
        // What is not understood is kept as it is.
        let (packed, new) = dictionaries.packed(1, b"", 5_000);
        assert_eq!((packed, new.is_none()), (vec![0], true));
    }
}
