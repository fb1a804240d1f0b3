//! The descriptions of the two participants of the simulation.
//!
//! They have only the parts that core needs: commands, subscriptions, publications, timers, and
//! trivial schemas.

use saga_contract::description::{
    Command, CommandKind, Description, Endpoint, KeySource, Method, Publication, StateDescription,
    Subscription, TimerDescription,
};

use crate::rules::{ANSWERS, ORDERS, Role};

/// The differences between the builds of one participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Version of the states that it writes.
    pub(crate) version: u32,
    /// The oldest version that it can migrate.
    pub(crate) oldest: u32,
    /// An addition that not every build has: credit subscribes to reminders, with the key at this
    /// pointer, and orders can be touched.
    pub(crate) more: Option<&'static str>,
    /// The defect of its rules.
    pub(crate) flaw: Option<Flaw>,
}

/// A defect of the rules, whose effects the checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The credit of an order that ended is not released.
    ReleaseForgotten,
    /// It is released twice.
    ReleasedTwice,
}

impl Shape {
    pub(crate) const FIRST: Self = Self {
        version: 1,
        oldest: 1,
        more: None,
        flaw: None,
    };

    pub(crate) const WIDEST: Self = Self {
        more: Some("/account"),
        ..Self::FIRST
    };

    /// True if it can read states of this version.
    pub(crate) fn reads(self, version: u32) -> bool {
        (self.oldest..=self.version).contains(&version)
    }
}

/// The description of a participant in a build of this shape.
pub(crate) fn description(role: Role, shape: Shape) -> Description {
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
        requires: Vec::new(),
    };
    let create = |name| {
        command(
            name,
            Method::Post,
            "/",
            CommandKind::Create(Some("/{id}".into())),
            KeySource::Generated,
        )
    };
    let by_id = || KeySource::PathParameter("id".into());
    let get = command("get", Method::Get, "/{id}", CommandKind::Read, by_id());
    let publication = |event_type: &str, topic: &str| Publication {
        version: 1,
        event_type: event_type.into(),
        topic: topic.into(),
        schema: "{}".into(),
    };
    let subscription = |event_type: &str, key: &str, untyped| Subscription {
        version: 1,
        older: Vec::new(),
        event_type: event_type.into(),
        topic: role.listens_to().into(),
        group: role.name().into(),
        key: key.into(),
        untyped,
        schema: "{}".into(),
    };
    let timer = |name: &str| TimerDescription {
        name: name.into(),
        schema: "{}".into(),
    };
    let (mut commands, mut subscriptions, publications, timers) = match role {
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
            vec![
                subscription("order-created", "/account", true),
                subscription("order-cancelled", "/account", false),
            ],
            vec![publication("credit-answered", ANSWERS)],
            Vec::new(),
        ),
        Role::Order => (
            vec![
                create("place"),
                get,
                command("cancel", Method::Put, "/{id}", CommandKind::Change, by_id()),
            ],
            vec![subscription("credit-answered", "/order", true)],
            vec![
                publication("order-created", ORDERS),
                publication("order-reminded", ORDERS),
                publication("order-cancelled", ORDERS),
            ],
            vec![timer("remind"), timer("timeout")],
        ),
    };
    match (role, shape.more) {
        (Role::Credit, Some(key)) => subscriptions.push(subscription("order-reminded", key, false)),
        (Role::Order, Some(_)) => commands.push(command(
            "touch",
            Method::Patch,
            "/{id}",
            CommandKind::Change,
            by_id(),
        )),
        (_, None) => {}
    }
    Description {
        metadata: Vec::new(),
        claims: Vec::new(),
        has_open_refusals: false,
        name: role.name().into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version: shape.version,
            oldest_readable: shape.oldest,
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
        listings: Vec::new(),
        settings: None,
    }
}
