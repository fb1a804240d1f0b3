//! The start of a participant: its workers, its listener and its consumers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle as Task;

use super::prepare::PreparedParticipant;
use super::{StartError, StopTokens, bounds, process_limits};
use crate::base::budget::Budget;
use crate::base::machine::Machine;
use crate::config::Config;
use crate::http::accept::Acceptor;
use crate::http::auth::Auth;
use crate::http::cors::Cors;
use crate::http::listing::Lists;
use crate::http::origin::ServedHosts;
use crate::http::request::Bodies;
use crate::http::server::{self, ListenerBounds};
use crate::http::service::{Service, Serving};
use crate::http::waiting::WaitBounds;
use crate::metrics::Metrics;
use crate::rollout::hosted::{HostedParticipant, Prepare};
use crate::store::Store;
use crate::transport::Transport;
use crate::turn::{Participant, ParticipantParts};

/// Starts a participant's workers, its listener and its consumers. Returns its URL and its listener
/// too.
pub(super) fn start(
    config: &Config,
    (store, transport, metrics, machine): (&Arc<Store>, &dyn Transport, &Metrics, &Machine),
    prepared: PreparedParticipant,
    (budget, auth): (&Budget, Option<&Arc<Auth>>),
    stop: &StopTokens,
) -> Result<(String, Task<()>, HostedParticipant), StartError> {
    let own = config.participants.get(&prepared.name);
    let settings = ParticipantParts {
        row: prepared.row,
        last_key: prepared.last_key,
        limits: config.turn,
        kept: own.map(|own| own.journal).unwrap_or_default(),
        retry: own.map_or(config.retry, |own| own.retry(config.retry)),
        parked: config.parked,
        turns: metrics.turns(&prepared.name),
        passed: metrics.passed(&prepared.name),
        instances: metrics.instances(&prepared.name),
        machine: machine.clone(),
        answer_time: Duration::from_secs(config.http.answer_seconds),
    };
    let participant = Arc::new(Participant::start(
        settings,
        prepared.active,
        prepared.instances,
        store.clone(),
    )?);
    let bounds = ListenerBounds {
        connections: process_limits::connections(config),
        // The other half is for the steps after the listeners.
        drain: Duration::from_secs(config.drain_seconds) / 2,
        ..bounds(config)
    };
    // If the limit of open files allows fewer connections than configured, watchers may take half
    // of them.
    let watchers = if bounds.connections < config.http.connections {
        config.http.watchers.min((bounds.connections / 2).max(1))
    } else {
        config.http.watchers
    };
    let waiting = WaitBounds::new(
        config.http.wait_seconds,
        Duration::from_secs(config.http.heartbeat_seconds),
        watchers,
        stop.listening.clone(),
    );
    let address = prepared
        .listener
        .local_addr()
        .context("the listener has no address")?;
    let service = Arc::new(Service::new(
        participant.clone(),
        prepared.serving,
        Bodies {
            bytes: config.http.body_bytes,
            budget: budget.clone(),
            are_checked: config.http.check_bodies,
        },
        waiting,
        (
            ServedHosts::new(&config.http.hosts, address.ip()),
            Cors::new(&config.http.cors_origins),
            auth.cloned(),
        ),
        metrics.requests(&prepared.name),
        Lists::new(store.clone(), config.http.page_items),
    ));
    let scheme = prepared.tls.as_ref().map_or("http", |_| "https");
    let url = format!("{scheme}://{address}{}", prepared.base_path);
    let listener = tokio::spawn(server::serve(
        Acceptor::new(prepared.listener, machine.clone()),
        prepared.tls,
        service.clone(),
        bounds,
        stop.listening.clone(),
    ));
    let hosted = HostedParticipant::new(
        prepared.own,
        prepared.row,
        participant,
        prepare_by(service, prepared.base_path.clone()),
        prepared.base_path,
        prepared.file,
    );
    hosted
        .read(&prepared.fitted.sources, transport, &stop.consuming)
        .map_err(|problems| anyhow::anyhow!(problems))?;
    hosted
        .note_consumers(&**store)
        .map_err(anyhow::Error::from)?;
    Ok((url, listener, hosted))
}

/// The preparation of routes and documents of further generations, for this service.
fn prepare_by(service: Arc<Service>, base_path: String) -> Prepare {
    Box::new(move |active, configured| {
        let serving = Serving::new(active.clone(), &base_path, configured)?;
        let service = service.clone();
        Ok(Box::new(move || Box::new(service.swap(serving))))
    })
}
