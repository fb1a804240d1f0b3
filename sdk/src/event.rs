//! [`EventType`] and [`Timer`]: names with a Rust type behind them.
//!
//! A rule declares each as a constant and uses that constant wherever it publishes, listens, sets
//! or handles, so the compiler sees to it that body and name belong together.

use std::marker::PhantomData;

/// A type of event: its name (the CloudEvents `type`), the topic it travels on, the type of its body.
///
/// ```
/// # use serde::Serialize;
/// use saga_sdk::EventType;
///
/// #[derive(Serialize)]
/// struct Lent { book: String }
///
/// const LENT: EventType<Lent> = EventType::new("library.book.lent", "loans");
/// assert_eq!(LENT.name(), "library.book.lent");
/// ```
pub struct EventType<B> {
    name: &'static str,
    topic: &'static str,
    body: PhantomData<fn() -> B>,
}

impl<B> EventType<B> {
    /// An event type of this name on this topic. Operators may map the topic to another.
    pub const fn new(name: &'static str, topic: &'static str) -> Self {
        Self {
            name,
            topic,
            body: PhantomData,
        }
    }

    /// Name of the type.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Topic it travels on.
    pub const fn topic(&self) -> &'static str {
        self.topic
    }
}

/// A timer that an aggregate may set: its name and the type of the body it carries.
///
/// Timers belong to the aggregate of the turn and are identified by name: setting one again moves
/// it.
pub struct Timer<B> {
    name: &'static str,
    body: PhantomData<fn() -> B>,
}

impl<B> Timer<B> {
    /// A timer of this name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            body: PhantomData,
        }
    }

    /// Name of the timer.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

// By hand: a derive would ask for `B: Copy`.
impl<B> Clone for EventType<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for EventType<B> {}

impl<B> Clone for Timer<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Timer<B> {}
