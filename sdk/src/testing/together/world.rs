//! [`World`]: participants on one simulated clock, as the test sees them.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blueprint::Blueprint;
use super::call::{Answer, Call};
use super::faults::Faults;
use super::hosted::{Aggregate, Hosted};
use super::outsider::Outsiders;
use super::random::Random;
use super::record::{DeadLetter, Record};
use super::timeline::Timeline;
use crate::codec;
use crate::event::EventType;
use crate::participant::Participant;
use crate::testing::fail;

/// The clock of every run begins at 2026-01-01T00:00:00Z.
pub(super) const START: u64 = 1_767_225_600_000;

/// Several participants on one simulated clock. Nothing in it takes real time.
pub struct World {
    pub(super) blueprint: Rc<Blueprint>,
    pub(super) faults: Faults,
    /// Chooses the next step.
    pub(super) schedule: Random,
    /// Chooses for the test, so that a client does the same with other faults.
    client: Random,
    /// How often participants go down and rules are swapped: once in so many steps.
    pub(super) rarity: u64,
    pub(super) now: u64,
    pub(super) hosted: Vec<Hosted>,
    pub(super) outsiders: Outsiders,
    /// Records on their way, by participant, topic and key.
    pub(super) lanes: BTreeMap<(usize, String, String), VecDeque<Record>>,
    /// Records that will come again.
    pub(super) echoes: Vec<Record>,
    published: Vec<Record>,
    dead_letters: Vec<DeadLetter>,
    pub(super) timeline: Timeline,
    /// The present act, for the report.
    pub(super) doing: String,
    pub(super) steps: usize,
    ids: u64,
}

impl World {
    pub(super) fn new(
        blueprint: &Rc<Blueprint>,
        (seed, variation): (u64, u64),
        faults: Faults,
    ) -> Self {
        let mut schedule = Random::new(seed, 2 + 2 * variation);
        let rarity = schedule.magnitude(1..4);
        Self {
            faults,
            rarity,
            schedule,
            client: Random::new(seed, 3 + 2 * variation),
            now: START,
            hosted: blueprint.hosted(),
            outsiders: Outsiders::new(&blueprint.outsiders),
            lanes: BTreeMap::new(),
            echoes: Vec::new(),
            published: Vec::new(),
            dead_letters: Vec::new(),
            timeline: Timeline::default(),
            doing: String::new(),
            steps: 0,
            ids: 0,
            blueprint: blueprint.clone(),
        }
    }

    /// Sends a command that finds its key itself: one that creates an aggregate with the host's next
    /// number, or one with the key in its body. `&()` where it takes no body.
    ///
    /// Before the command arrives, the world goes on for some steps, and until `P` is up.
    #[track_caller]
    pub fn send<P: Participant>(
        &mut self,
        command: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Answer {
        self.command::<P>(command).send(body)
    }

    /// Sends a command to the aggregate of this key, which is in its path.
    #[track_caller]
    pub fn send_to<P: Participant>(
        &mut self,
        key: impl Display,
        command: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Answer {
        self.command::<P>(command).key(key).send(body)
    }

    /// Begins a command with path parameters, a caller or headers.
    pub fn command<P: Participant>(&mut self, command: &str) -> Call<'_> {
        let place = self.place_of::<P>();
        Call::new(self, place, command)
    }

    /// Publishes an event as a program that is not in this world. A JSON text of any kind can be sent
    /// as a [`serde_json::Value`].
    #[track_caller]
    pub fn publish<B>(
        &mut self,
        event: EventType<B>,
        key: impl Display,
        body: &(impl Serialize + ?Sized),
    ) {
        let id = self.next_id("e");
        let record = Record {
            source: "/outside".to_owned(),
            event_type: event.name().to_owned(),
            topic: event.topic().to_owned(),
            key: key.to_string(),
            version: event.body_version(),
            body: codec::encode(body, event.name()),
            correlation: id.clone(),
            causation: None,
            number: 0,
            id,
        };
        self.note(format!(
            "outside published {} ({}) to {}",
            record.event_type, record.id, record.key
        ));
        self.put_on_topic(record);
    }

    /// Takes this many steps: a step is a turn, or a jump of the clock.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            if !self.step(None) {
                return;
            }
        }
    }

    /// Lets this much time pass, with all that happens in it. Unless a fault delays it, everything
    /// that was in flight has arrived.
    pub fn advance(&mut self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.now.saturating_add(time);
        while self.step(Some(until)) {}
        self.now = self.now.max(until);
    }

    /// Goes on until nothing is left to happen: every event has arrived, every timer has fired, every
    /// participant is up, nobody outside has anything to do.
    ///
    /// # Panics
    /// If that takes more than 100,000 steps: with a timer that is always set again, use
    /// [`advance`](Self::advance).
    pub fn settle(&mut self) {
        while self.step(None) {}
    }

    /// Swaps the rules of the participant for `P`, the next that the blueprint names.
    #[track_caller]
    pub fn swap_to<P: Participant>(&mut self) {
        let place = self.place_of::<P>();
        let next = self
            .hosted
            .get(place)
            .and_then(|hosted| hosted.successors.front());
        if next.is_none_or(|next| next.of() != TypeId::of::<P>()) {
            fail(&format!(
                "{} is not the next build: say .swaps_to::<…>() for each, in their order",
                type_name::<P>()
            ));
        }
        self.swap(place);
    }

    /// The state of an aggregate, as `P` reads it; none if there is no such aggregate.
    #[track_caller]
    pub fn state<P: Participant>(&self, key: impl Display) -> Option<P::State> {
        let hosted = self.hosted.get(self.place_of::<P>())?;
        let aggregate = hosted.aggregates.get(&key.to_string())?;
        Some(self.read::<P>(aggregate))
    }

    /// All aggregates of a participant, ordered by the texts of their keys.
    #[track_caller]
    pub fn states<P: Participant>(&self) -> Vec<(P::Key, P::State)> {
        let Some(hosted) = self.hosted.get(self.place_of::<P>()) else {
            return Vec::new();
        };
        let read = |(key, aggregate): (&String, &Aggregate)| match P::Key::from_str(key) {
            Ok(key) => (key, self.read::<P>(aggregate)),
            Err(_) => fail(&format!(
                "{} has an aggregate of the key {key:?}",
                hosted.name
            )),
        };
        hosted.aggregates.iter().map(read).collect()
    }

    /// The bodies of all events of this type that were published so far, repetitions left out.
    #[track_caller]
    pub fn events<B: DeserializeOwned>(&self, event: EventType<B>) -> Vec<B> {
        let of_it = self
            .published
            .iter()
            .filter(|one| one.event_type == event.name() && one.version == event.body_version());
        let read = |record: &Record| match codec::decode(&record.body) {
            Ok(body) => body,
            Err(error) => fail(&format!("an event {} can't be read: {error}", event.name())),
        };
        of_it.map(read).collect()
    }

    /// Takes the dead letters so far, for a test that expects some. Those that a test does not take
    /// fail it at its end.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead_letters)
    }

    /// The state of somebody outside, who acts by
    /// [`outside`](super::Together::outside).
    #[track_caller]
    pub fn outside<O: 'static>(&self) -> &O {
        self.outsiders.get()
    }

    /// Changes somebody outside.
    #[track_caller]
    pub fn outside_mut<O: 'static>(&mut self) -> &mut O {
        self.outsiders.wake();
        self.outsiders.get_mut()
    }

    /// The time, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn time(&self) -> u64 {
        self.now
    }

    /// A number of the range, chosen by the seed; its start if the range is empty.
    pub fn pick(&mut self, range: Range<u64>) -> u64 {
        self.client.pick(range)
    }

    /// True in so many of so many cases: `world.chance(1, 4)`.
    pub fn chance(&mut self, many: u64, of: u64) -> bool {
        self.client.chance(many, of)
    }

    /// One of these, chosen by the seed.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn one_of<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        match choices.get(self.client.place(choices.len())) {
            Some(choice) => choice,
            None => fail("there is nothing to choose from"),
        }
    }

    pub(super) fn note(&mut self, text: String) {
        self.timeline.note(self.now - START, text);
    }

    pub(super) fn next_id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}{}", self.ids)
    }

    /// Appends a record to its topic, for everybody who reads it.
    pub(super) fn put_on_topic(&mut self, mut record: Record) {
        self.ids += 1;
        record.number = self.ids;
        self.published.push(record.clone());
        self.echo(&record);
        self.deliver_later(&record);
    }

    /// Puts a record on its way.
    pub(super) fn deliver_later(&mut self, record: &Record) {
        for (place, hosted) in self.hosted.iter().enumerate() {
            let subscriptions = &hosted.rules.description().subscriptions;
            if subscriptions.iter().any(|one| one.topic == record.topic) {
                let lane = (place, record.topic.clone(), record.key.clone());
                self.lanes
                    .entry(lane)
                    .or_default()
                    .push_back(record.clone());
            }
        }
    }

    pub(super) fn put_aside(&mut self, letter: DeadLetter) {
        self.note(format!(
            "{} made a dead letter of {}: {}",
            letter.participant, letter.name, letter.reason
        ));
        self.dead_letters.push(letter);
    }

    #[track_caller]
    pub(super) fn place_of<P: Participant>(&self) -> usize {
        match self.blueprint.rules.get(&TypeId::of::<P>()) {
            Some((place, _)) => *place,
            None => fail(&format!(
                "{} is not in this world: add it with .with::<…>()",
                type_name::<P>()
            )),
        }
    }

    #[track_caller]
    fn read<P: Participant>(&self, aggregate: &Aggregate) -> P::State {
        let rules = self.blueprint.rules.get(&TypeId::of::<P>());
        let state = match rules {
            Some((_, rules)) if rules.description().state.version != aggregate.version => {
                let migrated = rules.migrate(aggregate.version, aggregate.state.clone());
                migrated.map_err(|why| format!("{why:?}"))
            }
            _ => Ok(aggregate.state.clone()),
        };
        match state.and_then(|state| codec::decode(&state)) {
            Ok(state) => state,
            Err(error) => fail(&format!(
                "{} can't read a state of version {}: {error}; ask for states as the newest rules read them",
                type_name::<P>(),
                aggregate.version
            )),
        }
    }
}
