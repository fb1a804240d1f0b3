//! Swaps of rules at any moment.

use std::cell::Cell;

use saga_sdk::testing::together::{World, together};
use saga_sdk::{Contract, Decision, Participant, Subscription, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::library::{
    self, ANSWERED, Answer, Book, Library, RETURNED, Readers, State, WISHED, Wish,
};
use crate::{COPIES, failure};

/// The next build of the library counts what it lent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Shelf {
    left: u32,
    lent: u32,
}

struct CountingLibrary;

impl Participant for CountingLibrary {
    type State = Shelf;
    type Key = String;

    fn contract() -> Contract<Shelf> {
        use saga_sdk::{Command, Method};
        Contract::new("library", "2.0.0", "Lends books, and counts.")
            .state_version(2)
            .migrate(1, |book: Book| Shelf {
                left: book.copies,
                lent: COPIES - book.copies,
            })
            .command(
                Command::upsert(
                    "stock",
                    Method::Put,
                    "/books/{book}",
                    |_: Option<Shelf>, copies: u32, _: &Turn| {
                        Decision::put(Shelf {
                            left: copies,
                            lent: 0,
                        })
                        .reply(())
                    },
                )
                .summary("Sets the number of copies."),
            )
            .on(Subscription::to(
                WISHED,
                "library",
                "/book",
                |shelf: Option<Shelf>, wish: Wish, _: &Turn| {
                    let answer = |lent| Answer {
                        reader: wish.reader,
                        lent,
                    };
                    match shelf {
                        Some(Shelf { left, lent }) if left > 0 => {
                            let shelf = Shelf {
                                left: left - 1,
                                lent: lent + 1,
                            };
                            Decision::put(shelf).publish(ANSWERED, wish.reader, &answer(true))
                        }
                        _ => Decision::unchanged().publish(ANSWERED, wish.reader, &answer(false)),
                    }
                },
            ))
            .on(Subscription::to(
                RETURNED,
                "library",
                "/book",
                |shelf: Option<Shelf>, _: Wish, _: &Turn| match shelf {
                    Some(Shelf { left, lent }) => Decision::put(Shelf {
                        left: left + 1,
                        lent: lent - 1,
                    }),
                    None => Decision::malformed("there is no such book"),
                },
            ))
            .publishes(ANSWERED)
    }
}

/// The rules of the library, with the next version of the state.
fn next_library() -> Contract<Book> {
    Contract::new("library", "2.0.0", "Lends books.")
        .state_version(2)
        .command(library::stock())
        .on(Subscription::to(
            WISHED,
            "library",
            "/book",
            library::lend::<0>,
        ))
        .on(Subscription::to(
            RETURNED,
            "library",
            "/book",
            library::put_back,
        ))
        .publishes(ANSWERED)
}

/// A build that can't read what its predecessor stored.
struct ForgetfulLibrary;

impl Participant for ForgetfulLibrary {
    type State = Book;
    type Key = String;

    fn contract() -> Contract<Book> {
        next_library()
    }
}

/// A build that goes on with a mistake in its migration.
struct MiscountingLibrary;

impl Participant for MiscountingLibrary {
    type State = Book;
    type Key = String;

    fn contract() -> Contract<Book> {
        next_library().migrate(1, |book: Book| Book {
            copies: book.copies + 1,
        })
    }
}

fn wishes(world: &mut World) -> u32 {
    world.send_to::<Library<0>>("Emma", "stock", &COPIES);
    for _ in 0..world.pick(1..6) {
        world.send::<Readers<0>>("wish", "Emma");
    }
    world.settle();
    let readers = world.states::<Readers<0>>();
    let reads = readers
        .iter()
        .filter(|(_, reader)| reader.state == State::Reads);
    u32::try_from(reads.count()).unwrap()
}

#[test]
fn a_participant_is_swapped_at_any_moment_and_its_states_are_migrated() {
    let swapped = Cell::new(0);
    together()
        .with::<Readers<0>>()
        .with::<Library<0>>()
        .swaps_to::<CountingLibrary>()
        .always("no copy is lost", |world| {
            let shelf = world.state::<CountingLibrary>("Emma");
            assert!(shelf.is_none_or(|shelf| shelf.left + shelf.lent == COPIES));
        })
        .check(500, |world| {
            let in_hand = wishes(world);
            let shelf = world.state::<CountingLibrary>("Emma").unwrap();
            assert_eq!(shelf.lent, in_hand);
            let version = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                world.state::<Library<0>>("Emma")
            }));
            swapped.set(swapped.get() + u32::from(version.is_err()));
        });
    let swapped = swapped.get();
    assert!((50..450).contains(&swapped), "{swapped}");
}

#[test]
fn a_story_can_swap_when_it_wants() {
    together()
        .with::<Readers<0>>()
        .with::<Library<0>>()
        .swaps_to::<CountingLibrary>()
        .check(1, |world| {
            let in_hand = wishes(world);
            world.swap_to::<CountingLibrary>();
            world.send::<Readers<0>>("wish", "Emma");
            world.settle();
            let shelf = world.state::<CountingLibrary>("Emma").unwrap();
            assert_eq!(shelf.lent, (in_hand + 1).min(COPIES));
        });
}

#[test]
fn a_story_can_swap_only_to_the_next_build_and_a_participant_is_added_once() {
    let report = failure(|| {
        together()
            .with::<Library<0>>()
            .swaps_to::<CountingLibrary>()
            .check(1, |world| {
                world.swap_to::<CountingLibrary>();
                world.swap_to::<CountingLibrary>();
            });
    });
    assert!(report.contains("is not the next build"), "{report}");
    let report = failure(|| {
        let _ = together().with::<Library<0>>().with::<Library<1>>();
    });
    assert!(
        report.contains("there is a participant \"library\" already"),
        "{report}"
    );
}

#[test]
fn a_swap_that_a_host_would_refuse_is_refused() {
    let report = failure(|| {
        let _ = together()
            .with::<Library<0>>()
            .swaps_to::<ForgetfulLibrary>();
    });
    assert!(
        report.contains("a host would refuse the swap of library"),
        "{report}"
    );
    assert!(report.contains("there is no migration from it"), "{report}");
    let report = failure(|| {
        let _ = together()
            .with::<Readers<0>>()
            .swaps_to::<CountingLibrary>();
    });
    assert!(
        report.contains("there is no participant \"library\""),
        "{report}"
    );
}

#[test]
fn a_wrong_migration_is_found() {
    let report = failure(|| {
        together()
            .with::<Readers<0>>()
            .with::<Library<0>>()
            .swaps_to::<MiscountingLibrary>()
            .check(200, |world| {
                let in_hand = wishes(world);
                let book = world.state::<MiscountingLibrary>("Emma").unwrap();
                let was_swapped = book.copies + in_hand == COPIES + 1;
                assert!(
                    !was_swapped || world.events(WISHED).is_empty(),
                    "a copy was made of nothing"
                );
            });
    });
    assert!(report.contains("a copy was made of nothing"), "{report}");
}
