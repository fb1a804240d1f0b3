//! The types that wasmtime generates from `wit/`, and their way to and from the core's.
//!
//! This file alone knows both. A new version of the WIT gets a file of its own beside it.

use saga_core::description as d;
use saga_core::message as m;
use saga_core::outcome as o;

#[allow(missing_docs, reason = "generated; the WIT documents every item")]
#[allow(unreachable_pub, reason = "generated")]
#[allow(clippy::all, clippy::indexing_slicing, clippy::unwrap_used, reason = "generated")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "participant",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use generated::ParticipantPre;
pub(super) use generated::Participant;
use generated::exports::saga::participant::rules as r;
use generated::saga::participant::types as t;

/// The name under which a component exports its rules.
pub(super) const RULES_EXPORT: &str = "saga:participant/rules@0.1.0";

/// The parameters of a message in the guest's type; borrows all text.
pub(super) fn parameters(message: &m::Message) -> Vec<t::Parameter<'_>> {
    message.parameters.iter().map(|(name, value)| t::Parameter { name, value }).collect()
}

/// The message in the guest's type; borrows all text.
pub(super) fn message<'a>(message: &'a m::Message, parameters: &'a [t::Parameter<'a>]) -> r::Message<'a> {
    r::Message {
        id: &message.id,
        source: &message.source,
        origin: match message.origin {
            m::Origin::Command => t::Origin::Command,
            m::Origin::Event => t::Origin::Event,
            m::Origin::Timer => t::Origin::Timer,
        },
        name: &message.name,
        key: &message.key,
        time: message.time,
        correlation: &message.correlation,
        parameters,
        body: &message.body,
    }
}

impl From<r::Outcome> for o::Outcome {
    fn from(outcome: r::Outcome) -> Self {
        Self {
            state: match outcome.state {
                t::StateChange::Unchanged => o::StateChange::Unchanged,
                t::StateChange::Put(state) => o::StateChange::Put(state),
                t::StateChange::Remove => o::StateChange::Remove,
            },
            events: outcome
                .events
                .into_iter()
                .map(|event| o::Event { event_type: event.event_type, key: event.key, body: event.body })
                .collect(),
            timers: outcome.timers.into_iter().map(timer_change).collect(),
            reply: outcome.reply.map(reply),
        }
    }
}

impl From<r::Disposition> for o::Disposition {
    fn from(disposition: r::Disposition) -> Self {
        match disposition {
            t::Disposition::Malformed(reason) => Self::Malformed(reason),
            t::Disposition::RetryLater(reason) => Self::RetryLater(reason),
        }
    }
}

fn timer_change(change: t::TimerChange) -> o::TimerChange {
    match change {
        t::TimerChange::Set(timer) => {
            o::TimerChange::Set(o::Timer { name: timer.name, due: timer.due, body: timer.body })
        }
        t::TimerChange::Cancel(name) => o::TimerChange::Cancel(name),
    }
}

fn reply(reply: t::Reply) -> o::Reply {
    match reply {
        t::Reply::Done(body) => o::Reply::Done(body),
        t::Reply::Pending(body) => o::Reply::Pending(body),
        t::Reply::Refused(refusal) => o::Reply::Refused(o::Refusal {
            kind: refusal_kind(refusal.kind),
            code: refusal.code,
            detail: refusal.detail,
            pointer: refusal.pointer,
        }),
    }
}

fn refusal_kind(kind: t::RefusalKind) -> d::RefusalKind {
    match kind {
        t::RefusalKind::Invalid => d::RefusalKind::Invalid,
        t::RefusalKind::NotFound => d::RefusalKind::NotFound,
        t::RefusalKind::Conflict => d::RefusalKind::Conflict,
        t::RefusalKind::Forbidden => d::RefusalKind::Forbidden,
    }
}

impl From<r::Description> for d::Description {
    fn from(description: r::Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            state: d::StateDescription {
                version: description.state.version,
                oldest_readable: description.state.oldest_readable,
                schema: description.state.schema,
            },
            endpoint: d::Endpoint { base_path: description.endpoint.base_path, port: description.endpoint.port },
            commands: description.commands.into_iter().map(command).collect(),
            subscriptions: description.subscriptions.into_iter().map(subscription).collect(),
            publications: description
                .publications
                .into_iter()
                .map(|p| d::Publication { event_type: p.event_type, topic: p.topic, schema: p.schema })
                .collect(),
            timers: description
                .timers
                .into_iter()
                .map(|timer| d::TimerDescription { name: timer.name, schema: timer.schema })
                .collect(),
        }
    }
}

fn command(command: t::Command) -> d::Command {
    d::Command {
        name: command.name,
        summary: command.summary,
        method: match command.method {
            t::Method::Get => d::Method::Get,
            t::Method::Post => d::Method::Post,
            t::Method::Put => d::Method::Put,
            t::Method::Patch => d::Method::Patch,
            t::Method::Delete => d::Method::Delete,
        },
        path: command.path,
        kind: match command.kind {
            t::CommandKind::Create(location) => d::CommandKind::Create(location),
            t::CommandKind::Change => d::CommandKind::Change,
            t::CommandKind::Read => d::CommandKind::Read,
        },
        key: match command.key {
            t::KeySource::Generated => d::KeySource::Generated,
            t::KeySource::PathParameter(name) => d::KeySource::PathParameter(name),
            t::KeySource::Body(pointer) => d::KeySource::Body(pointer),
        },
        request: command.request,
        reply: command.reply,
        refusals: command
            .refusals
            .into_iter()
            .map(|refusal| d::RefusalDescription {
                kind: refusal_kind(refusal.kind),
                code: refusal.code,
                summary: refusal.summary,
            })
            .collect(),
    }
}

fn subscription(subscription: t::Subscription) -> d::Subscription {
    d::Subscription {
        event_type: subscription.event_type,
        topic: subscription.topic,
        group: subscription.group,
        key: subscription.key,
        untyped: subscription.untyped,
        schema: subscription.schema,
    }
}
