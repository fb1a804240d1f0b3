//! Swapping rules: how candidates come, are checked, refused, activated, gone back from.

mod audit;
mod crash;
mod crash_points;
mod cut_short;
mod decisions;
mod dry_run;
mod flags;
mod gate;
mod hostile;
mod migration;
mod neighbours;
mod probe;
mod purity;
mod refused;
mod replay;
mod restart;
mod routes;
mod rule_settings;
mod schema_property;
mod shapes;
mod stopped_host;
mod triggers;
mod under_load;
