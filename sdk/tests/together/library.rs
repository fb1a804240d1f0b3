//! A saga of two participants, with mistakes to choose from.

use saga_sdk::{
    Command, Contract, Decision, EventType, Method, Participant, Subscription, Timer, Turn,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mistakes of the rules.
pub(crate) mod mistake {
    pub(crate) const NONE: u8 = 0;
    /// A wish that was given up is not told to the library.
    pub(crate) const NO_COMPENSATION: u8 = 1;
    /// The library panics when the last copy is lent.
    pub(crate) const PANIC: u8 = 2;
    /// The library publishes more than it may.
    pub(crate) const TOO_MANY: u8 = 3;
    /// An answer for a reader who gave up is malformed.
    pub(crate) const LATE_IS_MALFORMED: u8 = 4;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Wish {
    pub(crate) book: String,
    pub(crate) reader: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Answer {
    pub(crate) reader: u64,
    pub(crate) lent: bool,
}

pub(crate) const WISHED: EventType<Wish> = EventType::new("wished", "wishes");
pub(crate) const RETURNED: EventType<Wish> = EventType::new("returned", "wishes");
pub(crate) const ANSWERED: EventType<Answer> = EventType::new("answered", "answers");
pub(crate) const PATIENCE: Timer<()> = Timer::new("patience");

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum State {
    Waits,
    Reads,
    WentAway,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reader {
    pub(crate) book: String,
    pub(crate) state: State,
}

pub(crate) struct Readers<const MISTAKE: u8>;

impl<const MISTAKE: u8> Participant for Readers<MISTAKE> {
    type State = Reader;
    type Key = u64;

    fn contract() -> Contract<Reader, u64> {
        Contract::new("readers", "1.0.0", "Readers wish for books.")
            .command(
                Command::create(
                    "wish",
                    Method::Post,
                    "/readers",
                    |book: String, turn: &Turn<u64>| {
                        let wish = Wish {
                            book: book.clone(),
                            reader: *turn.key(),
                        };
                        let state = State::Waits;
                        Decision::put(Reader { book, state })
                            .publish(WISHED, &wish.book, &wish)
                            .set_timer(PATIENCE, turn.time() + 60_000, &())
                            .reply(*turn.key())
                    },
                )
                .summary("Wishes for a book."),
            )
            .on(Subscription::to(
                ANSWERED,
                "readers",
                "/reader",
                answered::<MISTAKE>,
            ))
            .timer(PATIENCE, went_away::<MISTAKE>)
            .publishes(WISHED)
            .publishes(RETURNED)
    }
}

fn answered<const MISTAKE: u8>(
    reader: Option<Reader>,
    answer: Answer,
    turn: &Turn<u64>,
) -> Decision<Reader> {
    let Some(reader) = reader else {
        return Decision::malformed("there is no such reader");
    };
    match (reader.state, answer.lent) {
        (State::Waits, true) => Decision::put(Reader {
            state: State::Reads,
            ..reader
        })
        .cancel_timer(PATIENCE),
        (State::WentAway, _) if MISTAKE == mistake::LATE_IS_MALFORMED => {
            Decision::malformed("nobody waits for this")
        }
        (State::WentAway, true) if MISTAKE != mistake::NO_COMPENSATION => {
            let wish = Wish {
                book: reader.book,
                reader: *turn.key(),
            };
            Decision::unchanged().publish(RETURNED, &wish.book, &wish)
        }
        _ => Decision::unchanged(),
    }
}

fn went_away<const MISTAKE: u8>(reader: Reader, (): (), _: &Turn<u64>) -> Decision<Reader> {
    match reader.state {
        State::Waits => Decision::put(Reader {
            state: State::WentAway,
            ..reader
        }),
        _ => Decision::unchanged(),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Book {
    pub(crate) copies: u32,
}

pub(crate) struct Library<const MISTAKE: u8>;

impl<const MISTAKE: u8> Participant for Library<MISTAKE> {
    type State = Book;
    type Key = String;

    fn contract() -> Contract<Book> {
        Contract::new("library", "1.0.0", "Lends books.")
            .command(stock())
            .on(Subscription::to(
                WISHED,
                "library",
                "/book",
                lend::<MISTAKE>,
            ))
            .on(Subscription::to(RETURNED, "library", "/book", put_back))
            .publishes(ANSWERED)
    }
}

pub(crate) fn stock() -> Command<Book> {
    Command::upsert(
        "stock",
        Method::Put,
        "/books/{book}",
        |_: Option<Book>, copies: u32, _: &Turn| Decision::put(Book { copies }).reply(()),
    )
    .summary("Sets the number of copies.")
}

pub(crate) fn lend<const MISTAKE: u8>(book: Option<Book>, wish: Wish, _: &Turn) -> Decision<Book> {
    let answer = |lent| Answer {
        reader: wish.reader,
        lent,
    };
    match book {
        Some(book) if book.copies > 0 => {
            let copies = book.copies - 1;
            assert!(MISTAKE != mistake::PANIC || copies > 0, "nothing is left");
            let lent = Decision::put(Book { copies }).publish(ANSWERED, wish.reader, &answer(true));
            match MISTAKE {
                mistake::TOO_MANY => (0..64).fold(lent, |lent, _| {
                    lent.publish(ANSWERED, wish.reader, &answer(true))
                }),
                _ => lent,
            }
        }
        _ => Decision::unchanged().publish(ANSWERED, wish.reader, &answer(false)),
    }
}

pub(crate) fn put_back(book: Option<Book>, _: Wish, _: &Turn) -> Decision<Book> {
    match book {
        Some(book) => Decision::put(Book {
            copies: book.copies + 1,
        }),
        None => Decision::malformed("there is no such book"),
    }
}
