//! Conversion of the types that are generated from `wit/` to this crate's own.
//!
//! wasmtime generates them for the host, wit-bindgen for guests; the two sets have the same names
//! and fields, but are different types. One macro serves both.

/// Defines `description`, which converts the type of the generated module `$t` to this crate's, and
/// `refusal_kind`. Imports `$t` as `t` and this crate's types as `d`.
///
/// The module is of the present contract. For that of a frozen one, the second arm takes a function
/// for each part that it lacks or has in another type.
#[macro_export]
macro_rules! description_from_generated {
    ($t:path) => {
        $crate::description_from_generated!(
            $t,
            settings: |description: &mut t::Description| {
                let settings = description.settings.take()?;
                Some(d::SettingsDescription {
                    schema: settings.schema,
                    default: settings.default,
                })
            },
            metadata: |description: &mut t::Description| std::mem::take(&mut description.metadata),
            claims: |description: &mut t::Description| std::mem::take(&mut description.claims),
            location: |location: Option<String>| location,
            requires: |command: &mut t::Command| std::mem::take(&mut command.requires),
            published: |publication: &t::Publication| publication.version,
            read: |subscription: &mut t::Subscription| {
                let older = std::mem::take(&mut subscription.older).into_iter();
                let older = older.map(|older| d::OlderVersion {
                    version: older.version,
                    key: older.key,
                    schema: older.schema,
                });
                (subscription.version, older.collect())
            },
        );
    };
    (
        $t:path,
        settings: $settings:expr,
        metadata: $metadata:expr,
        claims: $claims:expr,
        location: $location:expr,
        requires: $requires:expr,
        published: $published:expr,
        read: $read:expr $(,)?
    ) => {
        use $crate::description as d;
        use $t as t;

        /// Converts the description of a participant.
        pub(crate) fn description(mut description: t::Description) -> d::Description {
            let settings: fn(&mut t::Description) -> Option<d::SettingsDescription> = $settings;
            let metadata: fn(&mut t::Description) -> Vec<String> = $metadata;
            let claims: fn(&mut t::Description) -> Vec<String> = $claims;
            d::Description {
                settings: settings(&mut description),
                metadata: metadata(&mut description),
                claims: claims(&mut description),
                has_open_refusals: false,
                name: description.name,
                version: description.version,
                summary: description.summary,
                state: d::StateDescription {
                    version: description.state.version,
                    oldest_readable: description.state.oldest_readable,
                    schema: description.state.schema,
                },
                endpoint: d::Endpoint {
                    base_path: description.endpoint.base_path,
                    port: description.endpoint.port,
                },
                commands: description.commands.into_iter().map(command).collect(),
                subscriptions: (description.subscriptions.into_iter())
                    .map(subscription)
                    .collect(),
                publications: (description.publications.into_iter())
                    .map(publication)
                    .collect(),
                timers: description.timers.into_iter().map(timer).collect(),
                listings: description.listings.into_iter().map(listing).collect(),
            }
        }

        fn command(mut command: t::Command) -> d::Command {
            let location: fn(_) -> Option<String> = $location;
            let requires: fn(&mut t::Command) -> Vec<String> = $requires;
            let refusal = |refusal: t::RefusalDescription| d::RefusalDescription {
                kind: refusal_kind(refusal.kind),
                code: refusal.code,
                summary: refusal.summary,
            };
            d::Command {
                requires: requires(&mut command),
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
                    t::CommandKind::Create(path) => d::CommandKind::Create(location(path)),
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

        fn subscription(mut subscription: t::Subscription) -> d::Subscription {
            let read: fn(&mut t::Subscription) -> (u32, Vec<d::OlderVersion>) = $read;
            let (version, older) = read(&mut subscription);
            d::Subscription {
                event_type: subscription.event_type,
                topic: subscription.topic,
                group: subscription.group,
                key: subscription.key,
                untyped: subscription.untyped,
                schema: subscription.schema,
                version,
                older,
            }
        }

        fn publication(publication: t::Publication) -> d::Publication {
            let version: fn(&t::Publication) -> u32 = $published;
            d::Publication {
                version: version(&publication),
                event_type: publication.event_type,
                topic: publication.topic,
                schema: publication.schema,
            }
        }

        fn timer(timer: t::TimerDescription) -> d::TimerDescription {
            d::TimerDescription {
                name: timer.name,
                schema: timer.schema,
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
