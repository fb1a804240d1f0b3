//! The description of chameleon: as its settings say, or nonsense where they ask for it.

use crate::acts::{spin, trap};
use crate::settings::{Command, Filter, Kind, Listing, Settings, Subscription};
use saga_sdk::bindings::saga::participant::types as wit;
use serde::Deserialize;
use std::sync::atomic::{AtomicU32, Ordering};

/// How `describe` behaves.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Describe {
    /// It says what the settings say.
    #[default]
    Honest,
    /// It traps.
    Trap,
    /// It panics, with a message.
    Panic,
    /// It prints a line on standard output and one on standard error, and says what the settings say.
    Print,
    /// It never returns.
    Spin,
    /// No name is legal, no schema is JSON, and the state's version is 0.
    Garbage,
    /// Each call of an instance gives another version.
    Changing,
}

const ANYTHING: &str = "true";
const NO_JSON: &str = "{not json";

/// The description.
pub fn describe(settings: &Settings) -> wit::Description {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    match settings.describe {
        Describe::Honest => honest(settings),
        Describe::Trap => trap(),
        Describe::Panic => panicking(),
        Describe::Print => {
            println!("chameleon describes itself");
            eprintln!("chameleon describes itself");
            honest(settings)
        }
        Describe::Spin => spin(),
        Describe::Garbage => wit::Description {
            name: "NO NAME".to_owned(),
            state: wit::StateDescription {
                version: 0,
                oldest_readable: 7,
                schema: NO_JSON.to_owned(),
            },
            ..honest(settings)
        },
        Describe::Changing => wit::Description {
            version: format!("0.0.{}", CALLS.fetch_add(1, Ordering::Relaxed)),
            ..honest(settings)
        },
    }
}

#[allow(clippy::panic, reason = "this is what the setting is for")]
fn panicking() -> ! {
    panic!("chameleon can't describe itself")
}

fn honest(settings: &Settings) -> wit::Description {
    let publications = settings.publications.iter().map(|one| wit::Publication {
        event_type: one.event_type.clone(),
        topic: one.topic.clone(),
        schema: one.schema.to_string(),
        version: one.version,
    });
    let schema_of = |timer| {
        let schema = settings.timer_schemas.get(timer);
        schema.map_or(ANYTHING.to_owned(), ToString::to_string)
    };
    let timers = settings.timers.iter().map(|name| wit::TimerDescription {
        name: name.clone(),
        schema: schema_of(name),
    });
    let state = &settings.state;
    wit::Description {
        name: settings.name.clone(),
        version: settings.version.clone(),
        summary: settings.summary.clone(),
        state: wit::StateDescription {
            version: state.version,
            oldest_readable: state.oldest_readable.unwrap_or(state.version),
            schema: state.schema.to_string(),
        },
        endpoint: wit::Endpoint {
            base_path: settings.base_path.clone(),
            port: settings.port,
        },
        commands: settings.commands.iter().map(command).collect(),
        subscriptions: settings.subscriptions.iter().map(subscription).collect(),
        publications: publications.collect(),
        timers: timers.collect(),
        listings: settings.listings.iter().map(listing).collect(),
        settings: (settings.settings.as_ref()).map(|settings| wit::SettingsDescription {
            schema: settings.schema.to_string(),
            default: settings.default.to_string(),
        }),
        metadata: settings.metadata.clone(),
        claims: settings.claims.clone(),
    }
}

fn listing(listing: &Listing) -> wit::Listing {
    let filter = |filter: &Filter| wit::Filter {
        parameter: filter.parameter.clone(),
        pointer: filter.pointer.clone(),
        schema: filter.schema.to_string(),
    };
    wit::Listing {
        name: listing.name.clone(),
        summary: format!("The listing {}.", listing.name),
        path: listing.path.clone(),
        item: listing.item.clone(),
        filters: listing.filters.iter().map(filter).collect(),
    }
}

fn command(command: &Command) -> wit::Command {
    let parameter = command
        .key
        .strip_prefix('{')
        .and_then(|key| key.strip_suffix('}'));
    wit::Command {
        name: command.name.clone(),
        summary: format!("The command {}.", command.name),
        method: method(&command.method),
        path: command.path.clone(),
        kind: match &command.kind {
            Kind::Create(readable_at) => wit::CommandKind::Create(readable_at.clone()),
            Kind::Change => wit::CommandKind::Change,
            Kind::Read => wit::CommandKind::Read,
        },
        key: match parameter {
            Some(parameter) => wit::KeySource::PathParameter(parameter.to_owned()),
            None if command.key == "generated" => wit::KeySource::Generated,
            None => wit::KeySource::Body(command.key.clone()),
        },
        request: command.request.as_ref().map(ToString::to_string),
        reply: command.reply.to_string(),
        refusals: vec![wit::RefusalDescription {
            kind: wit::RefusalKind::Conflict,
            code: "no".to_owned(),
            summary: "The settings say so.".to_owned(),
        }],
        requires: command.requires.clone(),
    }
}

fn subscription(subscription: &Subscription) -> wit::Subscription {
    let older = subscription.older.iter().map(|older| wit::OlderVersion {
        version: older.version,
        key: older.key.clone(),
        schema: older.schema.to_string(),
    });
    wit::Subscription {
        version: subscription.version,
        older: older.collect(),
        event_type: subscription.event_type.clone(),
        topic: subscription.topic.clone(),
        group: subscription.group.clone(),
        key: subscription.key.clone(),
        untyped: subscription.untyped,
        schema: subscription.schema.to_string(),
    }
}

#[allow(
    clippy::panic,
    reason = "a mistake in a test's settings must not look like a behaviour"
)]
fn method(name: &str) -> wit::Method {
    match name {
        "GET" => wit::Method::Get,
        "POST" => wit::Method::Post,
        "PUT" => wit::Method::Put,
        "PATCH" => wit::Method::Patch,
        "DELETE" => wit::Method::Delete,
        other => panic!("chameleon knows no method {other:?}"),
    }
}
