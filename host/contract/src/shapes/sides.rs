//! The names of readers and writers, for the sentences on breaks.

use crate::schema::Sides;

pub(super) const READERS: Sides<'static> = Sides {
    reader: "readers of the active build's events",
    place: "in what this build publishes",
    gone: "no longer published",
    optional: "not always published",
    whole: "the body",
};

pub(super) const EVENTS: Sides<'static> = Sides {
    reader: "this build",
    place: "in events that the active build takes",
    gone: "not in events that the active build takes",
    optional: "need not be in events that the active build takes",
    whole: "the body",
};

pub(super) const REQUESTS: Sides<'static> = Sides {
    reader: "this build",
    place: "in requests that the active build takes",
    gone: "not in requests that the active build takes",
    optional: "need not be in requests that the active build takes",
    whole: "the body",
};

pub(super) const REPLIES: Sides<'static> = Sides {
    reader: "clients of the active build",
    place: "in what this build replies",
    gone: "no longer in the reply",
    optional: "not always in the reply",
    whole: "the body",
};

pub(super) const QUERIES: Sides<'static> = Sides {
    reader: "this build",
    place: "in queries that the active build takes",
    gone: "not in queries that the active build takes",
    optional: "need not be in queries that the active build takes",
    whole: "the value",
};

pub(super) const TIMERS: Sides<'static> = Sides {
    reader: "this build",
    place: "in timers that the active build sets",
    gone: "not in timers that the active build sets",
    optional: "need not be in timers that the active build sets",
    whole: "the body",
};

pub(super) const STATES: Sides<'static> = Sides {
    reader: "this build",
    place: "in states that the active build stores",
    gone: "not in states that the active build stores",
    optional: "need not be in states that the active build stores",
    whole: "the state",
};
