//! From the types that are generated from `wit/` to this crate's own.
//!
//! wasmtime generates them for the host, wit-bindgen for guests; the two sets have the same names and
//! fields and are different types all the same. One text serves both.

/// Defines `description`, `outcome` and `disposition`, which take the types of the generated module
/// `$t` and give this crate's.
#[macro_export]
macro_rules! conversions_from_generated {
    ($t:path) => {
        use $crate::{description as d, outcome as o};
        use $t as t;

        /// What a participant says of itself.
        pub(crate) fn description(description: t::Description) -> d::Description {
            let state = description.state;
            let endpoint = description.endpoint;
            let publication = |p: t::Publication| d::Publication {
                event_type: p.event_type,
                topic: p.topic,
                schema: p.schema,
            };
            let timer = |timer: t::TimerDescription| d::TimerDescription {
                name: timer.name,
                schema: timer.schema,
            };
            d::Description {
                name: description.name,
                version: description.version,
                summary: description.summary,
                state: d::StateDescription {
                    version: state.version,
                    oldest_readable: state.oldest_readable,
                    schema: state.schema,
                },
                endpoint: d::Endpoint {
                    base_path: endpoint.base_path,
                    port: endpoint.port,
                },
                commands: description.commands.into_iter().map(command).collect(),
                subscriptions: description
                    .subscriptions
                    .into_iter()
                    .map(subscription)
                    .collect(),
                publications: description
                    .publications
                    .into_iter()
                    .map(publication)
                    .collect(),
                timers: description.timers.into_iter().map(timer).collect(),
                listings: description.listings.into_iter().map(listing).collect(),
            }
        }

        fn command(command: t::Command) -> d::Command {
            let refusal = |refusal: t::RefusalDescription| d::RefusalDescription {
                kind: refusal_kind(refusal.kind),
                code: refusal.code,
                summary: refusal.summary,
            };
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
                refusals: command.refusals.into_iter().map(refusal).collect(),
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

        fn listing(listing: t::Listing) -> d::Listing {
            let filter = |filter: t::Filter| d::Filter {
                parameter: filter.parameter,
                pointer: filter.pointer,
                schema: filter.schema,
            };
            d::Listing {
                name: listing.name,
                summary: listing.summary,
                path: listing.path,
                item: listing.item,
                filters: listing.filters.into_iter().map(filter).collect(),
            }
        }

        /// What the rules decided.
        pub(crate) fn outcome(outcome: t::Outcome) -> o::Outcome {
            let event = |event: t::Event| o::Event {
                event_type: event.event_type,
                key: event.key,
                body: event.body,
            };
            o::Outcome {
                state: match outcome.state {
                    t::StateChange::Unchanged => o::StateChange::Unchanged,
                    t::StateChange::Put(state) => o::StateChange::Put(state),
                    t::StateChange::Remove => o::StateChange::Remove,
                },
                events: outcome.events.into_iter().map(event).collect(),
                timers: outcome.timers.into_iter().map(timer_change).collect(),
                reply: outcome.reply.map(reply),
            }
        }

        fn timer_change(change: t::TimerChange) -> o::TimerChange {
            match change {
                t::TimerChange::Set(timer) => o::TimerChange::Set(o::Timer {
                    name: timer.name,
                    due: timer.due,
                    body: timer.body,
                }),
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

        /// Why the rules did not decide.
        pub(crate) fn disposition(disposition: t::Disposition) -> o::Disposition {
            match disposition {
                t::Disposition::Malformed(reason) => o::Disposition::Malformed(reason),
                t::Disposition::RetryLater(reason) => o::Disposition::RetryLater(reason),
            }
        }
    };
}
