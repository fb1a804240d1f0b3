//! Checks of a store's rows: what must agree in any store, with any engine.
//!
//! All rows are read as of one moment, beside a host that may run. Memory is bounded: the decisions
//! that are compared with aggregates are taken a part at a time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use saga_core::journal::{self, NotWhole};
use saga_core::outcome::StateChange;
use serde::Serialize;

use super::copy::kinds::{KINDS, Kind};
use super::copy::name_of;
use super::copy::rows::{Rows, RowsResult};
use super::copy::value::{Row, Value};
use super::location::StoreLocation;
use super::open_error::OpenError;

/// Most wrong things that a check names.
const NAMED: usize = 20;

/// Decisions in the journal for each part of the keys whose last decisions are held at once.
const PART: u64 = 1_000_000;

/// What a check looked at, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What was checked.
    pub what: String,
    /// How many were looked at. None where they are not counted.
    pub looked_at: Option<u64>,
    /// How many are wrong.
    pub wrong: u64,
    /// The first of them, each as a text for people.
    pub named: Vec<String>,
}

impl Checked {
    fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            looked_at: Some(0),
            wrong: 0,
            named: Vec::new(),
        }
    }

    fn look(&mut self) {
        *self.looked_at.get_or_insert_default() += 1;
    }

    /// Adds a wrong one.
    pub fn add(&mut self, named: String) {
        self.wrong += 1;
        if self.named.len() < NAMED {
            self.named.push(named);
        }
    }
}

/// The reason why a store can't be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is none.
    #[error("there is no store in {0}; --data names it")]
    NoStore(String),
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Checks a store, beside the hosts that may use it. `progress` gets the work.
///
/// # Errors
/// It can't be opened. What can't be read is wrong.
pub fn check(
    store: &StoreLocation,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Checked>, CheckError> {
    let rows = store.rows_beside()?;
    let rows = rows.ok_or_else(|| CheckError::NoStore(store.to_string()))?;
    progress("the engine's own check");
    let mut all = vec![inspected(&*rows)];
    let mut known = Known::default();
    for kind in KINDS {
        progress(kind.name);
        let mut checked = Checked::new(kind.name);
        let read = rows.read(kind, &mut |page| {
            for row in &page {
                checked.look();
                known.look(kind, row, &mut checked);
            }
            Ok(())
        });
        if let Err(reason) = read {
            checked.add(format!("{}: can't be read on: {reason}", kind.table));
        }
        known.end(kind, &mut checked);
        all.push(checked);
    }
    progress("revisions");
    let mut revisions = Checked::new("revisions of aggregates with recorded decisions");
    if let Err(reason) = check_revisions(&*rows, &known, &mut revisions) {
        revisions.add(format!("can't be compared: {reason}"));
    }
    all.push(revisions);
    Ok(all)
}

fn inspected(rows: &dyn Rows) -> Checked {
    let (what, wrong) = (rows.inspect())
        .unwrap_or_else(|reason| ("the engine's own check", vec![format!("failed: {reason}")]));
    Checked {
        looked_at: None,
        wrong: wrong.len() as u64,
        ..Checked {
            named: wrong,
            ..Checked::new(what)
        }
    }
}

/// The columns that refer to rows of other kinds, by number.
const REFERENCES: &[(&str, &str, &str)] = &[
    ("generations", "participant", "participants"),
    ("activations", "participant", "participants"),
    ("activations", "generation", "generations"),
    ("refused_components", "participant", "participants"),
    ("tallies", "generation", "generations"),
    ("topic_ids", "topic", "topics"),
    ("partitions", "topic", "topics"),
    ("offsets", "topic", "topics"),
    ("aggregates", "participant", "participants"),
    ("inbox", "participant", "participants"),
    ("outbox", "topic", "topics"),
    ("outbox", "generation", "generations"),
    ("timers", "participant", "participants"),
    ("parked", "participant", "participants"),
    ("dead_letters", "participant", "participants"),
    ("dead_letters", "parked", "parked"),
    ("dead_letter_acts", "letter", "dead_letters"),
    ("quarantine", "participant", "participants"),
    ("quarantine", "generation", "generations"),
    ("quarantine_releases", "participant", "participants"),
    ("idempotency_keys", "participant", "participants"),
    ("journal", "generation", "generations"),
];

/// Kinds whose numbers others refer to.
const REFERRED: [&str; 5] = [
    "participants",
    "generations",
    "topics",
    "parked",
    "dead_letters",
];

/// A partition of the outbox.
#[derive(Debug, Default)]
struct Partition {
    /// Its end; None if it is not known.
    next: Option<i64>,
    /// The offset up to which one of its readers has read; None without readers. Rows before it may
    /// have been deleted.
    read: Option<i64>,
    /// The position of the last row; rows come in their order.
    last: Option<i64>,
}

/// What was read so far.
#[derive(Default)]
struct Known {
    numbers: HashMap<&'static str, HashSet<i64>>,
    participants: HashMap<i64, String>,
    /// The participants of generations.
    decided_for: HashMap<i64, i64>,
    partitions: HashMap<(i64, i64), Partition>,
    /// The highest numbers.
    highest: HashMap<&'static str, i64>,
    decisions: u64,
}

/// A row with the names of its columns.
struct Named<'r>(&'static Kind, &'r Row);

impl Named<'_> {
    fn value(&self, column: &str) -> Option<&Value> {
        self.0.place(column).and_then(|at| self.1.get(at))
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.value(column).and_then(Value::integer)
    }

    fn text(&self, column: &str) -> &str {
        self.value(column).and_then(Value::text).unwrap_or_default()
    }
}

impl Known {
    fn look(&mut self, kind: &'static Kind, row: &Row, checked: &mut Checked) {
        let named = Named(kind, row);
        let shown = |known: &Self| name_of(kind, row, &known.participants);
        for (table, column, of) in REFERENCES {
            if *table == kind.table
                && let Some(number) = named.number(column)
                && !(self.numbers.get(of)).is_some_and(|there| there.contains(&number))
            {
                let what = format!(
                    "{}: there is no row {number} of {of}, its {column}",
                    shown(self)
                );
                checked.add(what);
            }
        }
        if let Some(id) = named.number("id") {
            if REFERRED.contains(&kind.table) {
                self.numbers.entry(kind.table).or_default().insert(id);
            }
            let highest = self.highest.entry(kind.table).or_default();
            *highest = id.max(*highest);
        }
        match kind.table {
            "participants" => {
                let id = named.number("id").unwrap_or_default();
                self.participants.insert(id, named.text("name").to_owned());
            }
            "generations" => {
                let pair = named.number("id").zip(named.number("participant"));
                self.decided_for.extend(pair);
            }
            "activations" => {
                let of = named.number("generation");
                let of = of.and_then(|generation| self.decided_for.get(&generation));
                if of.is_some() && of.copied() != named.number("participant") {
                    let what = format!("{}: its generation is another participant's", shown(self));
                    checked.add(what);
                }
            }
            "partitions" => {
                let partition = self.partition(&named);
                partition.next = named.number("next_offset");
            }
            "offsets" => self.look_at_offset(&named, checked),
            "outbox" => self.look_at_record(&named, checked),
            "journal" => {
                self.decisions += 1;
                if let Err(NotWhole::Unreadable(reason)) = decoded(&named) {
                    checked.add(format!("{}: can't be read: {reason}", shown(self)));
                }
            }
            "last_numbers" => {
                let (table, last) = (named.text("name"), named.number("last"));
                let highest = self.highest.get(table).copied().unwrap_or_default();
                if last.unwrap_or_default() < highest {
                    checked.add(format!(
                        "{table}: the last given number is {}, but there is a row {highest}: its number would be given again",
                        last.unwrap_or_default()
                    ));
                }
            }
            _ => {}
        }
    }

    fn partition(&mut self, named: &Named<'_>) -> &mut Partition {
        let number = |column| named.number(column).unwrap_or_default();
        let place = (number("topic"), number("partition"));
        self.partitions.entry(place).or_default()
    }

    /// Consumers of Kafka count that log's records, all others those of the outbox.
    fn look_at_offset(&mut self, named: &Named<'_>, checked: &mut Checked) {
        let next = named.number("next_offset").unwrap_or_default();
        let of_outbox = named.text("consumer").starts_with("log:");
        let end = self.partition(named).next.unwrap_or_default();
        if of_outbox && next > end {
            checked.add(format!(
                "{}: reads on at {next}, beyond the end of the partition at {end}",
                name_of(named.0, named.1, &self.participants)
            ));
        }
        if of_outbox && named.number("dropped").is_none() {
            let read = &mut self.partition(named).read;
            *read = Some(read.map_or(next, |other| next.max(other)));
        }
    }

    fn look_at_record(&mut self, named: &Named<'_>, checked: &mut Checked) {
        let position = named.number("position").unwrap_or_default();
        let partition = self.partition(named);
        let last = partition.last.replace(position);
        let (next, expected) = (partition.next, partition.expected(last));
        let shown = || name_of(named.0, named.1, &HashMap::new());
        if let Some(expected) = expected.filter(|expected| position > *expected) {
            checked.add(format!(
                "{}: the records from {expected} on are missing before it, and nobody has read them",
                shown()
            ));
        }
        if next.is_none_or(|next| position >= next) {
            let end = next.unwrap_or_default();
            checked.add(format!("{}: beyond the end at {end}", shown()));
        }
    }

    /// What can be told once all rows of a kind were read.
    fn end(&self, kind: &'static Kind, checked: &mut Checked) {
        if kind.table != "outbox" {
            return;
        }
        for ((topic, number), partition) in &self.partitions {
            if let (Some(expected), Some(next)) =
                (partition.expected(partition.last), partition.next)
                && expected < next
            {
                checked.add(format!(
                    "outbox: topic {topic}, partition {number}: the records from {expected} on are missing, \
                     the partition ends at {next}, and nobody has read them"
                ));
            }
        }
    }
}

impl Partition {
    /// The position that must be there after this one: it may not have been deleted. None if any may.
    fn expected(&self, last: Option<i64>) -> Option<i64> {
        let read = self.read?;
        Some(last.map_or(read, |last| read.max(last + 1)))
    }
}

type Decoded = Result<StateChange, NotWhole>;

fn decoded(named: &Named<'_>) -> Decoded {
    let decision = named.value("decision").and_then(Value::bytes);
    let state = named.value("state").and_then(Value::text);
    let time = named.number("time").unwrap_or_default();
    let made = (named.text("key"), u64::try_from(time).unwrap_or_default());
    let read = journal::decode(decision.unwrap_or_default(), made, state);
    match read {
        Ok((_, outcome)) => Ok(outcome.state),
        // Its state is empty, and the change is the same.
        Err(NotWhole::NoPayload(outline)) => Ok(outline.outcome.state),
        Err(unreadable) => Err(unreadable),
    }
}

/// Compares each aggregate with its last decision.
fn check_revisions(rows: &dyn Rows, known: &Known, checked: &mut Checked) -> RowsResult<()> {
    let (Some(journal), Some(aggregates)) = (Kind::of("journal"), Kind::of("aggregates")) else {
        return Ok(());
    };
    let parts = known.decisions / PART + 1;
    let hasher = RandomState::new();
    for part in 0..parts {
        let is_of_part = |place: &(i64, String)| hasher.hash_one(place) % parts == part;
        let mut last = HashMap::<(i64, String), i64>::new();
        rows.read(journal, &mut |page| {
            for row in &page {
                let named = Named(journal, row);
                let by = named.number("generation").unwrap_or_default();
                let Some(participant) = known.decided_for.get(&by) else {
                    continue;
                };
                let place = (*participant, named.text("key").to_owned());
                if !is_of_part(&place) {
                    continue;
                }
                // One that can't be read was reported.
                match decoded(&named) {
                    Ok(state) => {
                        let changed = i64::from(state != StateChange::Unchanged);
                        let before = named.number("revision").unwrap_or_default();
                        last.insert(place, before + changed);
                    }
                    Err(_) => drop(last.remove(&place)),
                }
            }
            Ok(())
        })?;
        checked.looked_at = checked.looked_at.map(|rows| rows + last.len() as u64);
        rows.read(aggregates, &mut |page| {
            for row in page {
                let named = Named(aggregates, &row);
                let participant = named.number("participant").unwrap_or_default();
                let place = (participant, named.text("key").to_owned());
                let revision = named.number("revision").unwrap_or_default();
                if let Entry::Occupied(decided) = last.entry(place) {
                    let decided = decided.remove();
                    if decided != revision {
                        checked.add(format!(
                            "{}: has revision {revision}, its last decision led to {decided}",
                            name_of(aggregates, &row, &known.participants)
                        ));
                    }
                }
            }
            Ok(())
        })?;
        for ((participant, key), decided) in last.into_iter().filter(|(_, decided)| *decided > 0) {
            let name = known.participants.get(&participant);
            checked.add(format!(
                "aggregates: participant {}, key {key:?}: is not there, its last decision led to revision {decided}",
                name.map_or("", String::as_str)
            ));
        }
    }
    Ok(())
}
