//! Whole sagas, natively: several participants on one simulated clock, under many seeds.
//!
//! [`together`] joins participants, and [`Together::check`] tells a story to them once for each seed.
//! Seed 0 has no trouble: everything comes in order and in time. Every other seed has some of
//!
//! - reordering: events of different keys or topics overtake each other. As with Kafka, events of one key on
//!   one topic do not;
//! - delays: time passes while events are on their way, so timers fire before them;
//! - late timers;
//! - outages: a participant is down for up to a day. Its events and timers wait, and so does a client;
//! - duplicates: a record comes twice with the same id. A host drops the second one, and so does a world;
//! - repeats: an event comes again with *another* id. No host of these participants does that, but a producer that is
//!   no such host may; [`Together::repeats`] names its events;
//! - swaps: a participant goes on with its next build, which [`Together::swaps_to`] names, and its
//!   states are migrated.
//!
//! As on a host, a message that the rules put off ([`Decision::retry_later`](crate::Decision::retry_later)) is offered
//! again, and later events and timers of its aggregate wait behind it, in order; a malformed one becomes a dead letter,
//! behind which its aggregate waits. After each turn the invariants are checked. A run fails if one of them, the story or
//! a rule panics, if an outcome is beyond the host's default [`Limits`] or breaks the contract, or if a dead letter is
//! left at the end. The report has the seed, the fewest faults that it takes, and the last steps: who decided what, the
//! states before and after, the events. `SAGA_SEED=17 cargo test NAME` replays seed 17 and prints all steps.
//!
//! A command is checked before the rules are called, as on a host: it is [malformed](Answer::is_malformed) if its body does
//! not fit its schema (422), and [forbidden](Answer::is_forbidden) if the caller lacks a permission that the command
//! requires (403), where the test says which permissions the caller has
//! ([`Caller::with_permissions`](crate::Caller::with_permissions)).
//!
//! Not modelled: several hosts, authentication.
//!
//! ```
//! # use saga_sdk::{Command, Contract, Decision, EventType, Method, Participant, Subscription, Turn};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! # struct Wish { book: String, reader: u64 }
//! # const WISHED: EventType<Wish> = EventType::new("wished", "wishes");
//! # #[derive(Serialize, Deserialize, JsonSchema)]
//! # struct Answer { reader: u64, lent: bool }
//! # const ANSWERED: EventType<Answer> = EventType::new("answered", "answers");
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! # struct Reader { book: String, has_it: Option<bool> }
//! # struct Readers;
//! # impl Participant for Readers {
//! #     type State = Reader;
//! #     type Key = u64;
//! #     fn contract() -> Contract<Reader, u64> {
//! #         Contract::new("readers", "1.0.0", "Readers wish for books.")
//! #             .command(Command::create("wish", Method::Post, "/readers", |book: String, turn: &Turn<u64>| {
//! #                 let wish = Wish { book: book.clone(), reader: *turn.key() };
//! #                 Decision::put(Reader { book, has_it: None }).publish(WISHED, &wish.book, &wish).reply(*turn.key())
//! #             }).summary("Wishes for a book.").readable_at("/readers/{reader}"))
//! #             .command(Command::read("get-reader", "/readers/{reader}", |reader: &Reader, _: &Turn<u64>| reader.clone())
//! #                 .summary("Tells of a reader."))
//! #             .on(Subscription::to(ANSWERED, "readers", "/reader",
//! #                 |reader: Option<Reader>, answer: Answer, _: &Turn<u64>| match reader {
//! #                     Some(reader) => Decision::put(Reader { has_it: Some(answer.lent), ..reader }),
//! #                     None => Decision::malformed("there is no such reader"),
//! #                 }))
//! #             .publishes(WISHED)
//! #     }
//! # }
//! # #[derive(Serialize, Deserialize, JsonSchema)]
//! # struct Book { copies: u32 }
//! # struct Library;
//! # impl Participant for Library {
//! #     type State = Book;
//! #     type Key = String;
//! #     fn contract() -> Contract<Book> {
//! #         Contract::new("library", "1.0.0", "Lends books.")
//! #             .command(Command::upsert("stock", Method::Put, "/books/{book}",
//! #                 |_: Option<Book>, copies: u32, _: &Turn| Decision::put(Book { copies }).reply(()))
//! #                 .summary("Sets the number of copies."))
//! #             .on(Subscription::to(WISHED, "library", "/book", |book: Option<Book>, wish: Wish, _: &Turn| {
//! #                 let answer = |lent| Answer { reader: wish.reader, lent };
//! #                 match book {
//! #                     Some(book) if book.copies > 0 => Decision::put(Book { copies: book.copies - 1 })
//! #                         .publish(ANSWERED, wish.reader, &answer(true)),
//! #                     _ => Decision::unchanged().publish(ANSWERED, wish.reader, &answer(false)),
//! #                 }
//! #             }))
//! #             .publishes(ANSWERED)
//! #     }
//! # }
//! use saga_sdk::testing::together::together;
//!
//! together()
//!     .with::<Readers>()
//!     .with::<Library>()
//!     .always("no more copies are lent than there are", |world| {
//!         let has_it = |reader: &Reader| reader.has_it == Some(true);
//!         let lent = world.states::<Readers>().iter().filter(|(_, reader)| has_it(reader)).count();
//!         assert!(lent <= 2, "{lent} are lent");
//!     })
//!     .check(100, |world| {
//!         world.send_to::<Library>("Emma", "stock", &2);
//!         let readers = world.pick(1..5);
//!         for _ in 0..readers {
//!             assert!(world.send::<Readers>("wish", "Emma").is_done());
//!         }
//!         world.settle();
//!         for (reader, state) in world.states::<Readers>() {
//!             assert!(state.has_it.is_some(), "reader {reader} has no answer");
//!         }
//!     });
//! ```

mod attempt;
mod blueprint;
mod call;
mod check;
mod delivery;
mod faults;
mod hosted;
mod outsider;
pub(super) mod panics;
mod random;
mod record;
mod rules;
mod schedule;
mod timeline;
mod world;

pub use call::{Answer, Call};
pub use record::DeadLetter;
pub use world::World;

use std::any::TypeId;
use std::rc::Rc;

use serde::Serialize;

use super::{Limits, fail};
use crate::codec;
use crate::event::EventType;
use crate::participant::Participant;
use blueprint::Blueprint;
use outsider::Outsider;

/// Begins a world without participants.
#[must_use = "a world tests nothing before `check`"]
pub fn together() -> Together {
    Together {
        blueprint: Blueprint::default(),
    }
}

/// Participants that are to be tested together.
#[must_use = "a world tests nothing before `check`"]
pub struct Together {
    blueprint: Blueprint,
}

impl Together {
    /// Adds a participant.
    ///
    /// # Panics
    /// Where its contract has mistakes, or there is one of its name already.
    #[track_caller]
    pub fn with<P: Participant>(mut self) -> Self {
        let rules = rules::of::<P>();
        let name = &rules.description().name;
        if self.blueprint.place(name).is_some() {
            fail(&format!("there is a participant {name:?} already"));
        }
        let place = self.blueprint.first.len();
        self.blueprint
            .rules
            .insert(TypeId::of::<P>(), (place, rules.clone()));
        self.blueprint.first.push(rules);
        self
    }

    /// At any moment, the participant of the same name may be swapped for `P`; said several times, for
    /// one after the other.
    ///
    /// # Panics
    /// Where a host would refuse the swap: `P` lacks what the build before it has, or can't read what
    /// that has written.
    #[track_caller]
    pub fn swaps_to<P: Participant>(mut self) -> Self {
        let rules = rules::of::<P>();
        let name = &rules.description().name;
        let Some(place) = self.blueprint.place(name) else {
            fail(&format!(
                "there is no participant {name:?}: add its first build with .with::<…>()"
            ));
        };
        let later = self.blueprint.later.iter().rev();
        let before = later.filter(|(of, _)| *of == place).map(|(_, rules)| rules);
        let before = before.chain(self.blueprint.first.get(place)).next();
        if let Some(before) = before {
            let breaks = crate::check::breaks(before.description(), rules.description());
            if !breaks.is_empty() {
                fail(&format!(
                    "a host would refuse the swap of {name}:\n{}",
                    breaks.join("\n")
                ));
            }
        }
        self.blueprint
            .rules
            .insert(TypeId::of::<P>(), (place, rules.clone()));
        self.blueprint.later.push((place, rules));
        self
    }

    /// The settings that the operator gave to the participant of `P`, if they are not the default
    /// ones.
    #[track_caller]
    pub fn settings<P: Participant>(mut self, settings: &impl Serialize) -> Self {
        let Some((place, _)) = self.blueprint.rules.get(&TypeId::of::<P>()) else {
            fail("add the participant first, with .with::<…>()");
        };
        let settings = codec::encode(settings, "the settings");
        self.blueprint.settings.insert(*place, settings);
        self
    }

    /// Events of this type may come again with another id, as from a producer that is no host of
    /// these participants and sends again what it is unsure of.
    pub fn repeats<B>(mut self, event: EventType<B>) -> Self {
        self.blueprint.repeats.push(event.name().to_owned());
        self
    }

    /// Adds somebody outside, such as the adapter of a payment gateway. `act` looks at the world, sends
    /// commands, and returns true if it has something left to do. It acts at any moment, or much
    /// later. Its state is that of one run; see [`World::outside`].
    pub fn outside<O: Default + 'static>(
        mut self,
        act: impl Fn(&mut O, &mut World) -> bool + 'static,
    ) -> Self {
        self.blueprint.outsiders.push(Outsider {
            make: Rc::new(|| Box::new(O::default())),
            act: Rc::new(move |state, world| match state.downcast_mut::<O>() {
                Some(state) => act(state, world),
                None => false,
            }),
        });
        self
    }

    /// The limits of the hosts that will run the rules, if they are not the default ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.blueprint.limits = limits;
        self
    }

    /// Adds an invariant, which is checked after each turn and after each act of somebody outside. It panics
    /// where it is not, with `assert!` for example.
    pub fn always(mut self, name: &str, invariant: impl Fn(&World) + 'static) -> Self {
        self.blueprint
            .invariants
            .push((name.to_owned(), Box::new(invariant)));
        self
    }

    /// Tells the story to as many worlds as there are seeds, from 0 on.
    ///
    /// # Panics
    /// Where one of the runs fails, with a report of it.
    #[track_caller]
    pub fn check(self, seeds: u64, story: impl Fn(&mut World)) {
        check::check(&Rc::new(self.blueprint), seeds, &story);
    }
}
