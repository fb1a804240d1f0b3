//! Descriptions of participants: a test sets only the parts that it needs.
//!
//! Each function returns a minimal value; struct update syntax sets the rest: `Description {
//! timers: vec![timer("remind")], ..description("desk") }`.
//!
//! Must not know: any participant.

use saga_contract::description::{
    Command, CommandKind, Description, Endpoint, Filter, KeySource, Listing, Method, Publication,
    StateDescription, Subscription, TimerDescription,
};

/// A schema that allows every value.
const ANY: &str = "{}";

/// A participant of this name without commands and events; its state has version 1.
pub fn description(name: &str) -> Description {
    Description {
        name: name.into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: ANY.into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands: Vec::new(),
        subscriptions: Vec::new(),
        publications: Vec::new(),
        timers: Vec::new(),
        listings: Vec::new(),
        settings: None,
        metadata: Vec::new(),
        claims: Vec::new(),
        has_open_refusals: false,
    }
}

/// A command without a body; its reply may be any value.
pub fn command(
    name: &str,
    method: Method,
    path: &str,
    kind: CommandKind,
    key: KeySource,
) -> Command {
    Command {
        name: name.into(),
        summary: String::new(),
        method,
        path: path.into(),
        kind,
        key,
        request: None,
        reply: ANY.into(),
        refusals: Vec::new(),
        requires: Vec::new(),
    }
}

/// A subscription of the group `desk` to events of this type, with the key at this pointer.
pub fn subscription(event_type: &str, topic: &str, key: &str) -> Subscription {
    Subscription {
        version: 1,
        older: Vec::new(),
        event_type: event_type.into(),
        topic: topic.into(),
        group: "desk".into(),
        key: key.into(),
        untyped: false,
        schema: ANY.into(),
    }
}

/// A publication of events of this type.
pub fn publication(event_type: &str, topic: &str) -> Publication {
    Publication {
        version: 1,
        event_type: event_type.into(),
        topic: topic.into(),
        schema: ANY.into(),
    }
}

/// A timer of this name.
pub fn timer(name: &str) -> TimerDescription {
    TimerDescription {
        name: name.into(),
        schema: ANY.into(),
    }
}

/// The listing `list` at this path; its items are read by the command `item`.
pub fn listing(path: &str, item: &str, filters: Vec<Filter>) -> Listing {
    Listing {
        name: "list".into(),
        summary: String::new(),
        path: path.into(),
        item: item.into(),
        filters,
    }
}

/// A filter of a listing, on the value at this pointer.
pub fn filter(parameter: &str, pointer: &str, schema: &str) -> Filter {
    Filter {
        parameter: parameter.into(),
        pointer: pointer.into(),
        schema: schema.into(),
    }
}
