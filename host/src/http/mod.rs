//! HTTP: requests to commands, and replies to responses.
//!
//! # Layout
//!
//! - [`server`]: the listeners: bounded connections, graceful drain
//! - [`accept`]: accepts connections, even without a free file descriptor
//! - `connections`: the connections of a listener: which give way, which are cut off; `progress`:
//!   the counters for that
//! - `connection`: one connection: TLS, HTTP/1.1 or HTTP/2, its bounds; `wire`: its bytes
//! - [`tls`]: the certificate of a listener
//! - [`auth`]: authentication of callers
//! - [`origin`]: the hosts that a listener serves, the pages that may send commands; [`target`]:
//!   normalized paths
//! - `body`: the body of a response until it is written
//! - [`answer`]: steps that all services share
//! - [`service`]: one request: route, command, answer
//! - `idempotency`: commands that are repeated under the same key
//! - [`request`]: the parts of a request: body, key, trace context
//! - `reply`: the response to a decision
//! - [`waiting`]: requests that wait for changes of an aggregate; `prefer`: for its decision,
//!   [`events`]: for each change
//! - [`conditional`]: ETags and conditional reads; `correlation`: the saga of a request
//! - [`cors`]: access for pages of other origins
//! - [`listing`]: one page of a list; [`paging`]: its query parameters; `list_events`: its changes,
//!   `list_place`: their ids, `list_text`: their text
//! - [`routes`]: the routes of a participant, from its description
//! - `large_bodies`: the threads that check large bodies before a turn is spent
//! - [`problem`]: errors as RFC 9457 problem details
//!
//! Must not know: SQL, Kafka, components, or any participant by name.

pub mod accept;
pub mod answer;
pub mod auth;
mod body;
pub mod conditional;
mod connection;
mod connections;
mod correlation;
pub mod cors;
pub mod events;
mod idempotency;
mod large_bodies;
mod list_events;
mod list_place;
mod list_text;
pub mod listing;
mod metadata;
pub mod origin;
pub mod paging;
mod prefer;
pub mod problem;
mod progress;
pub mod reply;
pub mod request;
pub mod routes;
pub mod server;
pub mod service;
pub mod target;
pub mod tls;
pub mod waiting;
mod wire;
