//! The offers of a process to its workers: records, commands, timers.

use std::rc::Rc;

use saga_core::admit::{self, Admission, Asked};
use saga_core::commit::StoredTimer;
use saga_core::worker::{CommandTurn, EventTurn, TimerTurn, Trial, Turn, UnreadableTurn};

use crate::broker::Broker;
use crate::host::{Answer, Build, Delivered, LIMITS, Over, Simulated};
use crate::process::{Ask, Process, worker_of};
use crate::scene::Scene;
use crate::store::fired_of;

impl Process {
    /// Delivers the next record of a partition; returns false if there was none, or no room for it.
    pub(crate) fn deliver(&mut self, place: usize, broker: &Broker, scene: &mut Scene) -> bool {
        let Some(session) = self.sessions.get(place).cloned() else {
            return false;
        };
        if session.cancelled.get() || !session.window.borrow().has_room() {
            return false;
        }
        let Some(record) =
            broker.at_or_after(session.topic, session.partition, session.position.get())
        else {
            return false;
        };
        let offset = record.position.offset;
        session.window.borrow_mut().take(offset);
        session.position.set(offset + 1);
        let taken = Delivered {
            session: session.clone(),
            offset,
        };
        let (admitted, topic) = (self.admits.clone(), session.topic);
        let admission = admit::record(record, topic, &admitted.description, &LIMITS, scene.now);
        let turn = match admission {
            Admission::Offer(envelope) => Turn::Event(Box::new(EventTurn {
                envelope: *envelope,
                under: Build(admitted),
                taken,
                record: record.clone(),
                trial: Trial::default(),
                since: (),
            })),
            Admission::Skip => Turn::Passed(taken),
            Admission::Malformed(reason) => Turn::Unreadable(Box::new(UnreadableTurn {
                taken,
                record: record.clone(),
                reason,
                since: (),
            })),
        };
        scene.note(
            "deliver",
            format_args!("{} {}", self.role.name(), record.position),
        );
        self.give(turn);
        true
    }

    pub(crate) fn ask(&mut self, ask: Ask, scene: &mut Scene) {
        let admitted = self.admits.clone();
        let name = scene.calls[ask.call].command;
        let migrates = name == "migrate";
        if !migrates && admitted.description.command(name).is_none() {
            return scene.answer(ask.call, Answer::NotFound);
        }
        if let Some(answer) = self.known_reply(&ask, scene) {
            return scene.answer(ask.call, answer);
        }
        let generated = ask.key.is_none().then(|| self.next_key(scene));
        let call = &scene.calls[ask.call];
        let key = ask.key.or(generated.map(|key| key.to_string()));
        let asked = Asked {
            caller: None,
            metadata: Vec::new(),
            command: call.command.into(),
            key: key.unwrap_or_default(),
            parameters: Vec::new(),
            body: ask.body,
            correlation: None,
            traceparent: None,
        };
        let id = call.id.clone();
        let mut envelope = admit::command(self.role.name(), asked, scene.now, id, || None);
        let message = &envelope.message;
        let (id, name, key) = (&message.id, &message.name, &message.key);
        scene.note("ask", format_args!("{id} {name} {key} {}", message.body));
        if migrates {
            envelope.message.name.clear();
        }
        let turn = Box::new(CommandTurn {
            envelope,
            under: Build(admitted),
            generated_key: generated,
            repeatable: scene.calls[ask.call]
                .repeatable
                .as_deref()
                .map(|key| (key.into(), [0; 32])),
            client: ask.call,
            since: (),
        });
        self.give(if migrates {
            Turn::Migrate(turn)
        } else if ask.read {
            Turn::Read(turn)
        } else {
            Turn::Command(turn)
        });
    }

    fn next_key(&mut self, scene: &Scene) -> i64 {
        if !scene.is_shared {
            self.last_key += 1;
            return self.last_key;
        }
        if self.keys_left.is_empty() {
            // Each host takes a block at a time.
            let first = self.store.last_key + 1;
            self.store.last_key += 4;
            self.keys_left = first..first + 4;
        }
        self.keys_left.next().expect("there is one")
    }

    /// The answer to a call with an idempotency key, if it is in use, or has a reply.
    fn known_reply(&mut self, ask: &Ask, scene: &Scene) -> Option<Answer> {
        let key = scene.calls[ask.call].repeatable.clone()?;
        let claimed = self.repeatable.insert(key.clone(), ask.call);
        if let Some(other) = claimed.filter(|other| *other != ask.call)
            && scene.calls[other].answer.is_none()
        {
            self.repeatable.insert(key, other);
            return Some(Answer::TryLater);
        }
        self.store.replies.get(&key).cloned().map(Answer::Replied)
    }

    /// A call whose entry was not written since another host was first: it is decided again, or has
    /// the reply to the same request.
    pub(crate) fn superseded(&mut self, call: usize, scene: &mut Scene) {
        let key = scene.calls[call].repeatable.clone();
        let reply = key.and_then(|key| self.store.replies.get(&key).cloned());
        match reply.filter(|_| self.replied.contains(&call)) {
            Some(reply) => {
                scene.note("replied-elsewhere", format_args!("c{call}"));
                scene.answer(call, Answer::Replied(reply));
            }
            None => {
                scene.note("decided-again", format_args!("c{call}"));
                self.again.push_back(scene.ask_anew(call));
            }
        }
    }

    /// Routes a call again that a worker returned; returns false if there was none.
    pub(crate) fn ask_again(&mut self, scene: &mut Scene) -> bool {
        let Some(ask) = self.again.pop_front() else {
            return false;
        };
        self.ask(ask, scene);
        true
    }

    /// Offers a timer that is due and not in flight; returns false if there was none.
    pub(crate) fn fire(&mut self, scene: &mut Scene) -> bool {
        let is_due = |timer: &&Rc<StoredTimer>| {
            let fired = fired_of(timer);
            fired.due <= scene.now
                && !self.in_flight.borrow().contains(&fired)
                && !self.store.parked_timers.contains(&fired)
        };
        // A command behind parked messages is more interesting.
        let is_held = |timer: &&Rc<StoredTimer>| {
            self.threads[worker_of(&timer.key)]
                .worker
                .is_parked(&timer.key)
        };
        let mut due = self.store.timers.values().filter(is_due);
        let due = due.clone().find(is_held).or_else(|| due.next());
        let Some(timer) = due.cloned() else {
            return false;
        };
        let fired = fired_of(&timer);
        scene.note("fire", format_args!("{} {}", fired.key, fired.due));
        self.in_flight.borrow_mut().insert(fired.clone());
        let over = Over {
            in_flight: self.in_flight.clone(),
            fired: fired.clone(),
        };
        self.give(Turn::Timer(Box::new(TimerTurn {
            envelope: admit::timer(self.role.name(), &timer, scene.now),
            fired,
            trial: Trial::default(),
            since: (),
            over,
        })));
        true
    }

    fn give(&mut self, turn: Turn<Simulated>) {
        let worker = worker_of(turn.key().unwrap_or_default());
        self.threads[worker].turns.push_back(turn);
    }
}
