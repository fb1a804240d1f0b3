//! Conversion of the outcome types that are generated from `wit/` to this crate's own. The
//! description's are in `saga_contract::generated`.

/// Defines `outcome` and `disposition`; requires `saga_contract::description_from_generated!`
/// beside it, whose imports it uses.
#[macro_export]
macro_rules! outcome_from_generated {
    () => {
        use $crate::outcome as o;

        /// Converts the outcome.
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

        /// Converts the reason why the rules did not decide.
        pub(crate) fn disposition(disposition: t::Disposition) -> o::Disposition {
            match disposition {
                t::Disposition::Malformed(reason) => o::Disposition::Malformed(reason),
                t::Disposition::RetryLater(reason) => o::Disposition::RetryLater(reason),
            }
        }
    };
}
