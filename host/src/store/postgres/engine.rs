//! The engine's calls, each as SQL in the writer's transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use saga_core::commit::{Chains, Link, Offset, OutboxRow};

use super::address::ServerAddress;
use super::error::SqlResult;
use super::in_force::{self, InForce};
use super::membership::{self, Membership};
use super::peers::Peers;
use super::proposals::ServerProposals;
use super::prune::Pruner;
use super::read::PostgresReader;
use super::session::Sql;
use super::tables;
use super::write::members;
use super::write::{history, offsets, parked, quarantine, registry};
use super::writer::Writer;
use crate::base::changes::Changes;
use crate::base::host_name::host_name;
use crate::base::notify::Notify;
use crate::base::session::Proof;
use crate::metrics::Commits;
use crate::stages::Flow;
use crate::store::condition::Condition;
use crate::store::dead_letters::{LetterAnswer, NewLetterRequest};
use crate::store::duties::{Duties, PRUNING};
use crate::store::engine::{Activation, ActivationCheck, Engine, NewGeneration};
use crate::store::entry::{Done, Handed};
use crate::store::fault::StoreFaultKind;
use crate::store::history::ReleaseOutcome;
use crate::store::idempotency::{IdempotencySettings, Known, KnownKeys};
use crate::store::index::Index;
use crate::store::parked_room::Place;
use crate::store::proposals::Proposals;
use crate::store::read::StoreResult;
use crate::store::readers::{Reader, Readers};
use crate::store::settings::StoreSettings;
use crate::store::streams::OutboxReaders;
use crate::store::tally::Tally;
use crate::store::writing::letters;
use crate::store::writing::outcomes::Outcomes;
use crate::store::writing::requests::Requests;
use crate::store::writing::tallies::Tallies;

/// Opens the store at this address, or creates it, and joins its hosts.
///
/// # Errors
/// An [`OpenError`](crate::store::OpenError) if the store can't be used; or the system's error.
pub(in crate::store) fn open(
    address: ServerAddress,
    settings: StoreSettings,
    idempotency: IdempotencySettings,
    readers: OutboxReaders,
    commits: Commits,
) -> anyhow::Result<Arc<dyn Engine>> {
    let failed = |error| tables::failed(&address, &error);
    let Some(sql) = tables::open(&address, true)? else {
        unreachable!("it is created if it is not there");
    };
    let me = membership::join(&sql, &address, &host_name())?;
    let in_force = Arc::<InForce>::default();
    in_force.learn(&sql).map_err(failed)?;
    let identity = tables::identity(&sql).map_err(failed)?;
    let known_keys = Arc::new(KnownKeys::claimed_only(idempotency));
    let trusted_now = Arc::<AtomicU64>::default();
    if let Some((_, now)) = membership::show(&sql, me).map_err(failed)? {
        trusted_now.store(now, Ordering::Relaxed);
    }
    let bound = Duration::from_secs(settings.standstill_seconds);
    let condition = Arc::new(Condition::new(bound));
    let flow = Arc::<Flow>::default();
    let (requests, queue) = Requests::new(condition.clone(), flow.clone());
    let outcomes = Outcomes::new(condition.clone());
    let duties = Duties::new(true);
    let has_others = Arc::<AtomicBool>::default();
    let peers = Peers {
        address: address.clone(),
        me,
        duties: duties.clone(),
        outcomes: outcomes.clone(),
        has_others: has_others.clone(),
    };
    let writer = Writer {
        address: address.clone(),
        sql: Some(sql),
        me,
        number: 0,
        committed: 0,
        queue,
        outcomes: outcomes.clone(),
        chains: Chains::default(),
        uncommitted: Tallies::default(),
        in_force: in_force.clone(),
        pruner: Pruner::new(&settings, readers, idempotency.hours),
        pruning: duties.offer(PRUNING),
        batch: settings.batch.max(1),
        commits,
        flow,
        trusted_now: trusted_now.clone(),
    };
    let thread = writer.start()?;
    let proposals = ServerProposals::new(address.clone(), me);
    let (stop, stopped) = bounded(0);
    let peers = peers.start(stopped)?;
    let readers = Readers::new(move || {
        let reader = PostgresReader::open(&address, condition.clone())?;
        Ok(Box::new(reader))
    });
    Ok(Arc::new(Postgres {
        me,
        requests,
        threads: Mutex::new(Some((thread, peers, stop))),
        outcomes,
        readers,
        known_keys,
        in_force,
        duties,
        has_others,
        proposals,
        trusted_now,
        retention_hours: settings.retention_hours,
        identity,
    }))
}

/// The writer, the thread that follows other hosts, and what ends that.
type Threads = (JoinHandle<()>, JoinHandle<()>, Sender<()>);

/// A store that is open for a host.
struct Postgres {
    me: Membership,
    requests: Requests<Sql>,
    threads: Mutex<Option<Threads>>,
    outcomes: Outcomes,
    readers: Readers,
    known_keys: Arc<KnownKeys>,
    in_force: Arc<InForce>,
    duties: Duties,
    has_others: Arc<AtomicBool>,
    proposals: ServerProposals,
    /// The server's time, in milliseconds since the Unix epoch.
    trusted_now: Arc<AtomicU64>,
    retention_hours: u64,
    identity: String,
}

impl Postgres {
    /// Runs a step in the writer, after which lists and active rules may be others.
    fn change_rules(
        &self,
        change: impl FnOnce(&Sql) -> SqlResult<()> + Send + 'static,
    ) -> StoreResult<()> {
        let in_force = self.in_force.clone();
        let changed = self.requests.run(move |sql| {
            change(sql)?;
            // Entries behind this step in the same commit belong to these already.
            in_force.learn(sql)
        });
        if changed.is_err() {
            // It may have been undone after they were read.
            let in_force = self.in_force.clone();
            self.requests.run(move |sql| in_force.learn(sql))?;
        }
        changed
    }
}

impl Engine for Postgres {
    fn worker_number(&self) -> u64 {
        self.requests.worker_number()
    }

    fn commit(&self, handed: Box<Handed>) {
        self.requests.commit(handed);
    }

    fn after(&self, link: Link, done: Done) {
        self.requests.after(link, done);
    }

    fn append(&self, row: OutboxRow) -> StoreResult<i64> {
        let offset = self.requests.run(move |sql| registry::append(sql, &row))?;
        self.outcomes.published.notify();
        Ok(offset)
    }

    fn count(&self, tally: Tally) {
        self.requests.count(tally);
    }

    fn settle_up(&self) {
        self.requests.settle_up();
    }

    fn claim(&self, participant: i64, key: &str, fingerprint: [u8; 32]) -> Known {
        self.known_keys.claim(participant, key, fingerprint)
    }

    fn write_place(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
        place: (i64, Option<Proof>),
    ) -> StoreResult<()> {
        let consumer = consumer.to_owned();
        self.requests
            .run(move |sql| offsets::write_place(sql, &consumer, topic, partition, place))
    }

    fn hand_in_offsets(&self, offsets: Vec<Offset>) -> Receiver<StoreResult<()>> {
        self.requests
            .hand_in(move |sql| (offsets.iter()).try_for_each(|offset| offsets::write(sql, offset)))
    }

    fn claim_partition(&self, consumer: &str, topic: i64, partition: i32) -> StoreResult<i64> {
        let (consumer, host) = (consumer.to_owned(), self.me.host);
        self.requests
            .run(move |sql| offsets::claim(sql, &consumer, (topic, partition), host))
    }

    fn first_topic(
        &self,
        consumer: &str,
        topic: i64,
        id: &str,
        starts: &[(i32, i64)],
    ) -> StoreResult<()> {
        let (consumer, id, starts) = (consumer.to_owned(), id.to_owned(), starts.to_vec());
        self.requests
            .run(move |sql| offsets::first_topic(sql, &consumer, topic, &id, &starts))
    }

    fn next_topic(&self, consumer: &str, topic: i64, id: &str) -> StoreResult<()> {
        let (consumer, id) = (consumer.to_owned(), id.to_owned());
        self.requests
            .run(move |sql| offsets::next_topic(sql, &consumer, topic, &id))
    }

    fn note_consumers(
        &self,
        participant: &str,
        consumers: &[(Arc<str>, i64)],
        now: u64,
    ) -> StoreResult<()> {
        let (participant, consumers) = (participant.to_owned(), consumers.to_vec());
        self.requests
            .run(move |sql| registry::note_consumers(sql, &participant, &consumers, now))
    }

    fn release_timers(&self, participant: i64) -> StoreResult<usize> {
        self.requests
            .run(move |sql| parked::release_timers(sql, participant))
    }

    fn request_letter(&self, mut asked: NewLetterRequest) -> StoreResult<LetterAnswer> {
        let (trusted, place) = (self.trusted_now(), asked.place.take());
        let answer = (self.requests).run(move |sql| letters::request(sql, &asked, trusted))?;
        if let LetterAnswer::Requested { is_new: true, .. } = answer {
            place.iter().for_each(Place::keep);
        }
        Ok(answer)
    }

    fn register_participant(&self, name: &str) -> StoreResult<(i64, i64)> {
        let name = name.to_owned();
        self.requests
            .run(move |sql| registry::participant(sql, &name))
    }

    fn reserve_keys(&self, participant: i64) -> StoreResult<Option<(i64, i64)>> {
        self.requests
            .run(move |sql| registry::reserve_keys(sql, participant).map(Some))
    }

    fn return_keys(&self, participant: i64, unused: (i64, i64)) -> StoreResult<()> {
        self.requests
            .run(move |sql| registry::return_keys(sql, participant, unused))
    }

    fn register_generation(&self, participant: i64, generation: NewGeneration) -> StoreResult<i64> {
        self.requests
            .run(move |sql| registry::generation(sql, participant, &generation))
    }

    fn register_topic(&self, name: &str) -> StoreResult<i64> {
        let name = name.to_owned();
        self.requests.run(move |sql| registry::topic(sql, &name))
    }

    fn note_refused(
        &self,
        participant: i64,
        way: &str,
        refused: &str,
        now: u64,
    ) -> StoreResult<()> {
        let (way, refused) = (way.to_owned(), refused.to_owned());
        self.requests
            .run(move |sql| history::add_refused(sql, participant, &way, &refused, now))
    }

    fn note_release(&self, participant: i64, key: &str, by: &str, now: u64) -> StoreResult<i64> {
        let (key, by) = (key.to_owned(), by.to_owned());
        self.requests
            .run(move |sql| quarantine::add_release(sql, participant, &key, &by, now))
    }

    fn note_release_outcome(&self, row: i64, outcome: ReleaseOutcome) -> StoreResult<()> {
        self.requests
            .run(move |sql| quarantine::end_release(sql, row, &outcome))
    }

    fn create_indexes(&self, indexes: &[Index]) -> StoreResult<()> {
        let indexes = indexes.to_vec();
        self.change_rules(move |sql| members::create(sql, &indexes))
    }

    fn drop_indexes(&self, participant: i64, keep: &[Index]) -> StoreResult<()> {
        let keep = keep.to_vec();
        self.change_rules(move |sql| members::drop_others(sql, participant, &keep))
    }

    fn activate(&self, activations: &[Activation], indexes: &[Index]) -> StoreResult<()> {
        let (activations, indexes) = (activations.to_vec(), indexes.to_vec());
        self.change_rules(move |sql| {
            if !activations.is_empty() {
                in_force::begin_change(sql)?;
            }
            members::create(sql, &indexes)?;
            (activations.iter()).try_for_each(|activation| history::activate(sql, activation))
        })
    }

    fn activate_if(&self, activation: Activation, check: ActivationCheck) -> StoreResult<bool> {
        let (condition, in_force) = (self.outcomes.condition.clone(), self.in_force.clone());
        let activated = self.requests.run(move |sql| {
            in_force::begin_change(sql)?;
            let allowed = check(&PostgresReader::new(sql, condition.clone()));
            if let Err(fault) = &allowed
                && fault.kind() != StoreFaultKind::Passing
            {
                condition.report("what is in use can't be read", fault);
            }
            if matches!(allowed, Ok(true)) {
                history::activate(sql, &activation)?;
            }
            in_force.learn(sql)?;
            Ok(allowed)
        });
        activated.and_then(|allowed| allowed)
    }

    fn reader(&self) -> StoreResult<Reader> {
        self.readers.take()
    }

    fn published(&self) -> &Notify {
        &self.outcomes.published
    }

    fn timers(&self) -> &Notify {
        &self.outcomes.timers
    }

    fn changes(&self) -> &Changes {
        &self.outcomes.changes
    }

    fn condition(&self) -> &Condition {
        &self.outcomes.condition
    }

    fn note_standstill(&self) {
        (self.outcomes.condition).look(|| Some("the PostgreSQL server".into()));
    }

    fn flow(&self) -> (u64, u64) {
        self.requests.flow()
    }

    fn trusted_now(&self) -> u64 {
        self.trusted_now.load(Ordering::Relaxed)
    }

    fn retention_hours(&self) -> u64 {
        self.retention_hours
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn this_host(&self) -> Option<i64> {
        Some(self.me.host)
    }

    fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Acquire)
    }

    fn duties(&self) -> &Duties {
        &self.duties
    }

    fn proposals(&self) -> Option<&dyn Proposals> {
        Some(&self.proposals)
    }

    fn activated(&self) -> &Notify {
        &self.outcomes.activated
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    /// The server's disk is its operator's concern.
    fn bytes(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn close(&self) {
        self.readers.close();
        let Some((writer, peers, stop)) = self.threads.lock().take() else {
            return;
        };
        drop(stop);
        // Before the writer, which leaves.
        if peers.join().is_err() {
            tracing::error!("the thread that follows other hosts panicked");
        }
        self.requests.stop();
        if writer.join().is_err() {
            tracing::error!("the store's writer panicked; the store recovers at the next start");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_testkit::postgres;

    use super::*;
    use crate::store::conformance::{self, Rig};

    fn address() -> ServerAddress {
        ServerAddress::of_test("conformance")
    }

    fn rig_of(address: ServerAddress) -> Rig {
        let open = move || {
            super::open(
                address.clone(),
                StoreSettings::default(),
                IdempotencySettings::default(),
                OutboxReaders::Consumers,
                Commits::default(),
            )
            .unwrap()
        };
        Rig::new(open, ())
    }

    fn rig() -> Rig {
        rig_of(address())
    }

    /// Two hosts on one store.
    fn rigs() -> (Rig, Rig) {
        let address = address();
        (rig_of(address.clone()), rig_of(address))
    }

    conformance::suite!(rig, postgres::can_run(); rigs);
}
