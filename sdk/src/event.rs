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
    version: u32,
    body: PhantomData<fn() -> B>,
}

impl<B> EventType<B> {
    /// An event type of this name on this topic. Operators may map the topic to another.
    pub const fn new(name: &'static str, topic: &'static str) -> Self {
        Self {
            name,
            topic,
            version: 1,
            body: PhantomData,
        }
    }

    /// The same with this version of its body, where it is not 1. It goes up when those who read the
    /// former body can't read the new one. They read both with
    /// [`Subscription::upcast`](crate::Subscription::upcast), and are deployed first.
    pub const fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Version of its body.
    pub const fn body_version(&self) -> u32 {
        self.version
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
