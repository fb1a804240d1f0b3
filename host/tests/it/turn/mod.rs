//! Turns: commands, records and timers, in order, within limits, parked or given up.

mod blocked;
mod broken_rules;
mod dead_letters;
mod event_versions;
mod journal;
mod limits;
mod other_domain;
mod outputs;
mod quarantine;
mod retry_later;
mod saga;
mod timers;
