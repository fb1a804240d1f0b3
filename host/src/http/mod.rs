//! Requests to commands and back.
//!
//! # Layout
//!
//! - [`server`]: the listeners: bounded connections, graceful drain
//! - [`accept`]: the next connection, also where the machine has no file descriptor for it
//! - `connection`: one connection: TLS, HTTP/1.1 or HTTP/2, what a client may have under way
//! - [`tls`]: the certificate that a listener shows
//! - [`answer`]: what every service does alike with bodies and answers
//! - [`service`]: one request: route, command, answer
//! - `idempotency`: commands that are sent again under the same key
//! - [`request`]: what a request says: body, key, trace context
//! - `reply`: what is answered once the rules have decided
//! - [`waiting`]: requests that wait for what becomes of an aggregate; `prefer` for its decision, [`events`] for each change
//! - [`conditional`]: ETags, and reads of what the client has already
//! - [`cors`]: pages of other origins
//! - [`listing`]: one page of a list; [`paging`]: which page a client asks for
//! - [`routes`]: the routes of a participant, from its description
//! - [`schema`]: bodies checked against the description's schemas before a turn is spent; `steps`: how much work that may be;
//!   `heavy`: where large ones are
//! - [`problem`]: what is wrong, as RFC 9457 problem details
//!
//! Must not know: SQL, Kafka, components, or any participant by name.

pub mod accept;
pub mod answer;
pub mod conditional;
mod connection;
pub mod cors;
pub mod events;
mod heavy;
mod idempotency;
pub mod listing;
pub mod paging;
mod prefer;
pub mod problem;
mod reply;
pub mod request;
pub mod routes;
pub mod schema;
pub mod server;
pub mod service;
mod steps;
pub mod tls;
pub mod waiting;
