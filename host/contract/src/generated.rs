//! Conversion of the types that are generated from `wit/` to this crate's own.
//!
//! wasmtime generates them for the host, wit-bindgen for guests; the two sets have the same names
//! and fields, but are different types. One macro serves both.

/// Defines `description`, which converts the type of the generated module `$t` to this crate's, and
/// `refusal_kind`. Imports `$t` as `t` and this crate's types as `d`.
///
/// The module is of the present contract. That of a frozen one needs the parts that it lacks:
/// `description_from_generated!(types, settings: |_| None)`.
#[macro_export]
macro_rules! description_from_generated {
    ($t:path) => {
        $crate::description_from_generated!($t, settings: |description: &mut t::Description| {
            let settings = description.settings.take()?;
            Some(d::SettingsDescription {
                schema: settings.schema,
                default: settings.default,
            })
        });
    };
    ($t:path, settings: $settings:expr) => {
        use $crate::description as d;
        use $t as t;

        /// Converts the description of a participant.
        pub(crate) fn description(mut description: t::Description) -> d::Description {
            let settings: fn(&mut t::Description) -> Option<d::SettingsDescription> = $settings;
            let settings = settings(&mut description);
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
                settings,
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

        /// Converts the kind of a refusal.
        pub(crate) fn refusal_kind(kind: t::RefusalKind) -> d::RefusalKind {
            match kind {
                t::RefusalKind::Invalid => d::RefusalKind::Invalid,
                t::RefusalKind::NotFound => d::RefusalKind::NotFound,
                t::RefusalKind::Conflict => d::RefusalKind::Conflict,
                t::RefusalKind::Forbidden => d::RefusalKind::Forbidden,
            }
        }
    };
}
