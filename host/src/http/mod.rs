//! Requests to commands and back.
//!
//! # Layout
//!
//! - [`server`]: the listeners: bounded connections, graceful drain
//! - [`accept`]: the next connection, also where the machine has no file descriptor for it
//! - `connections`: all of a listener: which give way, which are cut off; `progress` is what they go by
//! - `connection`: one connection: TLS, HTTP/1.1 or HTTP/2, what a client may have under way; `wire`: its bytes
//! - [`tls`]: the certificate that a listener shows
//! - [`origin`]: which hosts a listener serves, and which pages may send commands; [`target`]: paths as they are compared
//! - `body`: the body of an answer until it is written
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
//! - `heavy`: where large bodies are checked before a turn is spent
//! - [`problem`]: what is wrong, as RFC 9457 problem details
//!
//! Must not know: SQL, Kafka, components, or any participant by name.

pub mod accept;
pub mod answer;
mod body;
pub mod conditional;
mod connection;
mod connections;
pub mod cors;
pub mod events;
mod heavy;
mod idempotency;
pub mod listing;
pub mod origin;
pub mod paging;
mod prefer;
pub mod problem;
mod progress;
mod reply;
pub mod request;
pub mod routes;
pub mod server;
pub mod service;
pub mod target;
pub mod tls;
pub mod waiting;
mod wire;
