//! The next step of a world: a turn that is possible now, or a jump of the clock.

use super::faults::InjectedFault;
use super::hosted::{Behind, Hosted};
use super::record::Record;
use super::timeline::span;
use super::world::World;
use crate::testing::fail;

/// Most steps of one run.
const MOST_STEPS: usize = 100_000;

/// Something that can happen now.
#[derive(Clone)]
enum Ready {
    /// The first record of a participant's lane: topic and key.
    Record(usize, String, String),
    /// A record is published again.
    Echo(usize),
    /// A timer is due: key and name.
    Timer(usize, String, String),
    /// Another attempt for an aggregate.
    Attempt(usize, String),
    /// Somebody outside acts.
    Outsider(usize),
}

impl World {
    /// Takes one step; not beyond this time. False if there is none.
    pub(super) fn step(&mut self, until: Option<u64>) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            fail(&format!(
                "there is no end after {MOST_STEPS} steps: is a timer always set again? Then use advance(…)"
            ));
        }
        self.trouble();
        let next = self
            .next_time()
            .filter(|next| until.is_none_or(|until| *next <= until));
        let ready = self.ready();
        let is_early = self.faults.has(InjectedFault::Delays) && self.schedule.chance(1, 16);
        match next {
            Some(next) if ready.is_empty() || is_early && next > self.now => {
                self.jump(next, until);
                true
            }
            _ if ready.is_empty() => false,
            _ => {
                let chosen = self.choose(ready);
                self.perform(chosen);
                true
            }
        }
    }

    /// Before a command: some steps, and as many as its participant needs to be up.
    pub(super) fn wait_until_up(&mut self, place: usize) {
        if !self.faults.is_calm() {
            let some = self.schedule.pick(0..8);
            self.run(some);
        }
        let is_down = |world: &Self| {
            let hosted = world.hosted.get(place);
            hosted.is_some_and(|hosted| hosted.back_at.is_some())
        };
        while is_down(self) && self.step(None) {}
    }

    /// A participant may go down, or be swapped.
    fn trouble(&mut self) {
        let places = self.hosted.len();
        if self.faults.has(InjectedFault::Outages) && self.schedule.chance(1, self.rarity + 8) {
            let place = self.schedule.place(places);
            let back_at = self.now + self.schedule.magnitude(2..9);
            let Some(hosted) = self.hosted.get_mut(place) else {
                return;
            };
            if hosted.back_at.is_none() {
                hosted.back_at = Some(back_at);
                let name = hosted.name.clone();
                self.note(format!("{name} is down for {}", span(back_at - self.now)));
            }
        }
        if self.faults.has(InjectedFault::Swaps) && self.schedule.chance(1, self.rarity) {
            let place = self.schedule.place(places);
            self.swap(place);
        }
    }

    /// Swaps a participant for its next build, if it has one.
    pub(super) fn swap(&mut self, place: usize) {
        let Some(hosted) = self.hosted.get_mut(place) else {
            return;
        };
        let Some(next) = hosted.successors.pop_front() else {
            return;
        };
        let name = hosted.name.clone();
        // Timers that were given up are offered to the new rules.
        let waiting = &hosted.waiting;
        for ((key, _), timer) in &mut hosted.timers {
            timer.is_parked &= waiting.contains_key(key);
        }
        let version = next.description().version.clone();
        hosted.rules = next;
        self.note(format!(
            "{name} was swapped for its build of version {version}"
        ));
    }

    /// The time of the next thing that happens by itself.
    fn next_time(&self) -> Option<u64> {
        let times = self.hosted.iter().filter_map(|hosted| hosted.next_time());
        times.filter(|time| *time > self.now).min()
    }

    /// Moves the clock.
    fn jump(&mut self, to: u64, until: Option<u64>) {
        // Further attempts are not late, or their time would be over too soon.
        let retries = self.hosted.iter().any(Hosted::retries);
        let may_be_late = self.faults.has(InjectedFault::LateTimers) && !retries;
        let late = match may_be_late && self.schedule.chance(1, 4) {
            true => self.schedule.magnitude(1..7),
            false => 0,
        };
        let latest = until.unwrap_or(u64::MAX).max(to);
        self.go_to(to.saturating_add(late).min(latest));
        self.outsiders.wake();
    }

    /// Sets the clock to `now`, at which participants may be up again.
    fn go_to(&mut self, now: u64) {
        self.now = now;
        let mut back = Vec::new();
        for hosted in &mut self.hosted {
            if hosted.back_at.is_some_and(|at| at <= now) {
                hosted.back_at = None;
                hosted.restart(now);
                back.push(hosted.name.clone());
            }
        }
        for name in back {
            self.note(format!("{name} is up again"));
        }
    }

    fn ready(&self) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (place, hosted) in self.hosted.iter().enumerate() {
            if hosted.back_at.is_some() {
                continue;
            }
            for ((key, name), timer) in &hosted.timers {
                if !timer.is_parked && timer.due <= self.now {
                    ready.push(Ready::Timer(place, key.clone(), name.clone()));
                }
            }
            for (key, waiting) in &hosted.waiting {
                if matches!(waiting.behind, Behind::Retry { at, .. } if at <= self.now) {
                    ready.push(Ready::Attempt(place, key.clone()));
                }
            }
        }
        let is_up = |place: &usize| {
            let hosted = self.hosted.get(*place);
            hosted.is_some_and(|hosted| hosted.back_at.is_none())
        };
        let mut lanes: Vec<_> = (self.lanes.iter())
            .filter(|((place, ..), records)| is_up(place) && !records.is_empty())
            .collect();
        lanes.sort_by_key(|(_, records)| records.front().map(|record| record.number));
        let records = lanes
            .into_iter()
            .map(|((place, topic, key), _)| Ready::Record(*place, topic.clone(), key.clone()));
        ready.extend(records);
        ready.extend((0..self.echoes.len()).map(Ready::Echo));
        ready.extend(self.outsiders.ready().into_iter().map(Ready::Outsider));
        ready
    }

    /// Without faults the first: timers before records, and these in the order in which they were
    /// published.
    fn choose(&mut self, mut ready: Vec<Ready>) -> Ready {
        let ends_with_record = matches!(ready.last(), Some(Ready::Record(..)));
        let place = match self.faults.has(InjectedFault::Reordering) {
            true => self.schedule.place(ready.len()),
            // Repetitions, and those outside, come at any time.
            false if self.faults.is_calm() || ends_with_record => 0,
            false if self.schedule.chance(1, 4) => ready.len() - 1,
            false => 0,
        };
        ready.swap_remove(place.min(ready.len() - 1))
    }

    fn perform(&mut self, ready: Ready) {
        match ready {
            Ready::Record(place, topic, key) => {
                let takes = 1 + self.schedule.pick(0..10);
                self.go_to(self.now + takes);
                let lane = (place, topic, key);
                let record = self.lanes.get_mut(&lane).and_then(|lane| lane.pop_front());
                if let Some(record) = record {
                    self.take_record(place, record);
                }
            }
            Ready::Echo(place) => {
                let record = self.echoes.swap_remove(place);
                self.note(format!("{} ({}) comes again", record.event_type, record.id));
                self.deliver_later(&record);
            }
            Ready::Timer(place, key, name) => self.fire(place, &key, &name),
            Ready::Attempt(place, key) => self.try_again(place, &key),
            Ready::Outsider(place) => self.let_act(place),
        }
    }

    /// Decides if a record will come again.
    pub(super) fn echo(&mut self, record: &Record) {
        if self.faults.has(InjectedFault::Duplicates) && self.schedule.chance(1, 8) {
            self.echoes.push(record.clone());
        }
        let repeats = &self.blueprint.repeats;
        let may_repeat = repeats.contains(&record.event_type);
        if may_repeat && self.faults.has(InjectedFault::Repeats) && self.schedule.chance(1, 4) {
            let id = self.next_id("e");
            self.echoes.push(Record {
                id,
                ..record.clone()
            });
        }
    }
}
