//! Requests to commands and back.
//!
//! # Layout
//!
//! - [`server`]: the listeners: bounded connections, graceful drain
//! - [`answer`]: what every service does alike with bodies and answers
//! - [`service`]: one request: route, command, answer
//! - `request`: what a request says: body, key, trace context
//! - `reply`: what is answered once the rules have decided
//! - [`listing`]: one page of a list; [`paging`]: which page a client asks for
//! - [`routes`]: the routes of a participant, from its description
//! - [`schema`]: bodies checked against the description's schemas before a turn is spent
//! - [`problem`]: what is wrong, as RFC 9457 problem details
//!
//! Must not know: SQL, Kafka, components, or any participant by name.

pub mod answer;
pub mod listing;
pub mod paging;
pub mod problem;
mod reply;
mod request;
pub mod routes;
pub mod schema;
pub mod server;
pub mod service;
