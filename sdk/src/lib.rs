//! Write the rules of a saga participant as plain Rust; run them as a WebAssembly component.
//!
//! A participant is a pure function: it gets the state of one aggregate and one message, and
//! decides the new state, events, timers and reply. It has no clock, no network, no storage. The
//! host provides all that for every participant, and makes a decision take effect as a whole or not
//! at all; duplicate messages never reach a rule.
//!
//! # A participant
//!
//! ```
//! use saga_sdk::{Command, Contract, Decision, EventType, Method, Participant};
//! use saga_sdk::{Subscription, Turn};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// The state of one aggregate; here, one book.
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Book { title: String, copies: u32 }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Delivery { copies: u32 }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Wish { book: u64, reader: String }
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Answer { reader: String, lent: bool }
//!
//! // A name with a Rust type behind it: publishing anything else does not compile.
//! const WISHED: EventType<Wish> = EventType::new("library.wished", "wishes");
//! const ANSWERED: EventType<Answer> = EventType::new("library.answered", "answers");
//!
//! struct Library;
//!
//! impl Participant for Library {
//!     type State = Book;
//!     type Key = u64; // the host counts, for a `create` that names no other key
//!
//!     fn contract() -> Contract<Book, u64> {
//!         Contract::new("library", env!("CARGO_PKG_VERSION"), "Lends books.")
//!             .endpoint("/library", 8080)
//!             .command(Command::create("add-book", Method::Post, "/books", add)
//!                 .summary("Adds a book.")
//!                 .readable_at("/books/{book}"))
//!             .command(Command::change("restock", Method::Post, "/books/{book}/deliveries", restock)
//!                 .summary("Takes in further copies of a book."))
//!             .command(Command::read("get-book", "/books/{book}", |book: &Book, _: &Turn<u64>| book.copies)
//!                 .summary("Tells how many copies are in."))
//!             .on(Subscription::to(WISHED, "library", "/book", lend))
//!             .publishes(ANSWERED)
//!     }
//! }
//!
//! saga_sdk::export!(Library);
//!
//! fn add(book: Book, turn: &Turn<u64>) -> Decision<Book, u64> {
//!     Decision::put(book).reply(*turn.key())
//! }
//!
//! fn restock(book: Book, delivery: Delivery, _: &Turn<u64>) -> Decision<Book, u32> {
//!     let copies = book.copies + delivery.copies; // an overflow ends the turn, and changes nothing
//!     Decision::put(Book { copies, ..book }).reply(copies)
//! }
//!
//! fn lend(book: Option<Book>, wish: Wish, _: &Turn<u64>) -> Decision<Book> {
//!     let answer = |lent| Answer { reader: wish.reader, lent };
//!     match book {
//!         Some(book) if book.copies > 0 => Decision::put(Book { copies: book.copies - 1, ..book })
//!             .publish(ANSWERED, wish.book, &answer(true)),
//!         _ => Decision::unchanged().publish(ANSWERED, wish.book, &answer(false)),
//!     }
//! }
//!
//! #[cfg(test)]
//! mod tests {
//!     use super::*;
//!     use saga_sdk::testing::given;
//!
//!     #[test]
//!     fn a_wish_takes_a_copy() {
//!         given::<Library>(Book { title: "Emma".into(), copies: 1 })
//!             .when_event(WISHED, &Wish { book: 7, reader: "Ann".into() })
//!             .state(&Book { title: "Emma".into(), copies: 0 })
//!             .published(ANSWERED, 7, &Answer { reader: "Ann".into(), lent: true })
//!             .published_no_more();
//!     }
//! }
//! ```
//!
//! Its `Cargo.toml`, with which `cargo build --release --target wasm32-wasip2` makes the component:
//!
//! ```toml
//! [package]
//! name = "library"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]     # the component, and what its tests link
//!
//! [dependencies]
//! saga-sdk = { path = "../saga/sdk" }
//! schemars = "1"
//! serde = { version = "1", features = ["derive"] }
//!
//! [profile.release]
//! overflow-checks = true              # without it a sum that overflows wraps, and is stored
//! ```
//!
//! **The two lines of `[profile.release]` are required.** A release build has no overflow checks by
//! default: a sum that overflows wraps, and the wrong number is stored. With the checks it traps:
//! the turn ends as a fault, and nothing is changed. Cargo reads profiles only at the root of a
//! workspace, never from a dependency such as this one, so your own workspace needs the lines in
//! its own `Cargo.toml`. `saga verify` and `saga apply` report a component that was built without
//! them.
//!
//! # Three ways to say no
//!
//! | what happened | a rule says | the host |
//! |---|---|---|
//! | the business refuses a command | [`Decision::refuse`], of a [`RefusalType`] that the command declares | answers 4xx and records the decision |
//! | the business refuses an event | publishes an event that says so | as with any decision |
//! | the message makes no sense | [`Decision::malformed`] | dead letter, or 400 |
//! | something has to happen first | [`Decision::retry_later`] | offers it again, in order, for a while |
//!
//! If serde can't read a body, the message is malformed, and the rule is not called. If serde can't read
//! a stored state, the host quarantines its aggregate and keeps the aggregate's events and timers in
//! order. The remedy is a build that reads the state, with [`Contract::state_version`] and
//! [`Contract::migrate`].
//!
//! # The same arguments, the same decision
//!
//! Decisions are recorded and replayed, so a handler must depend on its arguments alone: the time
//! is [`Turn::time`], an id comes from [`Turn::id`]. The order in which values are written counts too:
//! use a `BTreeMap`, since two instances may write the same `HashMap` in different orders.
//!
//! # Lists
//!
//! [`Contract::listing`] makes the host serve lists of the aggregates, page by page, filtered by
//! values in their states: see [`Listing`].
//!
//! # Settings
//!
//! [`Contract::settings`] declares values that the operator may set (`[participants.NAME.rules]`),
//! with their defaults; a handler reads them with [`Turn::settings`]. A length of time is a
//! [`TimeSpan`].
//!
//! # Numbers
//!
//! serde_json is built with `arbitrary_precision`, so a `serde_json::Number` keeps every digit. For money,
//! use it or a decimal type made of it. serde can't read such a number inside `#[serde(flatten)]` or in
//! untagged or internally tagged enums.
//!
//! serde_json uses member names that begin with `$serde_json::private::` for that, and would take
//! an object with such a name for a number. They are reserved: a body that has one is malformed,
//! and a state, an event or a reply that would have one is a fault.
//!
//! # API documents
//!
//! The host makes an OpenAPI and an AsyncAPI document from the contract: summaries, routes,
//! refusals, and the schemas of the types, with their doc comments. Give a body an example with
//! `#[schemars(example = Type::example())]`, which prefills Swagger UI. The paths `/openapi.json`,
//! `/asyncapi.json`, `/swagger-ui` and `/problems` are the host's.
//!
//! # Layout
//!
//! [`testing`] is the given/when/then kit, and [`testing::together`](mod@testing::together) tests whole sagas; [`native`] calls rules without WebAssembly, for hosts
//! and benchmarks; [`bindings`] is the generated WIT boundary, which authors don't use.

#![allow(
    clippy::test_attr_in_doctest,
    reason = "the listing is a whole file, whose test runs where the file is compiled as a crate"
)]

pub mod bindings;
#[cfg(not(target_family = "wasm"))]
mod check;
mod codec;
mod command;
mod contract;
mod decision;
mod event;
mod key;
mod listing;
mod migration;
pub mod native;
mod participant;
mod refusal;
mod reserved;
mod router;
mod schema;
mod subscription;
// Not in components: it panics by design and would only make them larger.
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time_span;
mod turn;

pub use command::{ALREADY_EXISTS, Command, Method, NOT_FOUND};
pub use contract::Contract;
pub use decision::{
    Always, Decision, Declined, IntoDecision, IntoReply, NoReply, Perhaps, Refusal, Undecided,
};
pub use event::{EventType, Timer};
pub use key::Key;
pub use listing::Listing;
pub use participant::Participant;
pub use refusal::{RefusalKind, RefusalType};
pub use subscription::Subscription;
pub use time_span::TimeSpan;
pub use turn::{Caller, Turn};
