//! What the two participants of the simulation say of themselves.
//!
//! As little as the core needs: commands, subscriptions, publications, timers; no schemas to speak of.

use saga_core::description::{
    Command, CommandKind, Description, Endpoint, KeySource, Method, Publication, StateDescription,
    Subscription, TimerDescription,
};

use crate::rules::{ANSWERS, ORDERS, Role};

/// What a participant says of itself in this version of its state's shape.
pub(crate) fn description(role: Role, version: u32) -> Description {
    let command = |name: &str, method, path: &str, kind, key| Command {
        name: name.into(),
        summary: String::new(),
        method,
        path: path.into(),
        kind,
        key,
        request: Some("{}".into()),
        reply: "{}".into(),
        refusals: Vec::new(),
    };
    let create = |name| {
        command(
            name,
            Method::Post,
            "/",
            CommandKind::Create("/{id}".into()),
            KeySource::Generated,
        )
    };
    let by_id = || KeySource::PathParameter("id".into());
    let get = command("get", Method::Get, "/{id}", CommandKind::Read, by_id());
    let publication = |event_type: &str, topic: &str| Publication {
        event_type: event_type.into(),
        topic: topic.into(),
        schema: "{}".into(),
    };
    let subscription = |event_type: &str, key: &str| Subscription {
        event_type: event_type.into(),
        topic: role.listens_to().into(),
        group: role.name().into(),
        key: key.into(),
        untyped: true,
        schema: "{}".into(),
    };
    let (commands, subscriptions, publications, timers) = match role {
        Role::Credit => (
            vec![
                create("open"),
                get,
                command(
                    "raise",
                    Method::Patch,
                    "/{id}",
                    CommandKind::Change,
                    by_id(),
                ),
            ],
            vec![subscription("order-created", "/account")],
            vec![publication("credit-answered", ANSWERS)],
            Vec::new(),
        ),
        Role::Order => (
            vec![create("place"), get],
            vec![subscription("credit-answered", "/order")],
            vec![
                publication("order-created", ORDERS),
                publication("order-reminded", ORDERS),
            ],
            vec![TimerDescription {
                name: "remind".into(),
                schema: "{}".into(),
            }],
        ),
    };
    Description {
        name: role.name().into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands,
        subscriptions,
        publications,
        timers,
    }
}
