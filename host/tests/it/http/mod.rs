//! The participants' HTTP interface: requests, answers, connections, documents.

mod api_documents;
mod bodies;
mod callers;
mod callers_of_proxies;
mod correlation;
mod cross_site;
mod etags_and_cors;
mod events;
mod http2;
mod idempotency;
mod idle_clients;
mod list_events;
mod listings;
mod member_names;
mod metadata;
mod prefer;
mod requests;
mod schema_effort;
mod slow_clients;
mod tls;
