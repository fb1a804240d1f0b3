//! The start of the operator's interface.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;

use super::observe::Observer;
use super::{StartError, StopTokens, bounds, outbox_readers};
use crate::admin::access::Access;
use crate::admin::hosts::Hosts;
use crate::admin::readiness::Readiness;
use crate::admin::service::{self as admin, Admin, RenderMetrics};
use crate::admin::topics::TopicRecords;
use crate::base::last_observed::LastObserved;
use crate::base::machine::Machine;
use crate::base::note::Note;
use crate::config::Config;
use crate::http::accept::Acceptor;
use crate::http::auth::Auth;
use crate::metrics::Metrics;
use crate::rollout::Reloader;
use crate::stages::Stages;
use crate::store::Store;
use crate::transport::Transport;

/// Starts the admin interface. Returns its URL and its listener.
pub(super) fn start(
    config: &Config,
    listener: TcpListener,
    (reloader, build): (&Reloader, &Note),
    (store, transport, metrics, machine, stages): (
        &Arc<Store>,
        Arc<dyn Transport>,
        Arc<Metrics>,
        Machine,
        Stages,
    ),
    (auth, stop): (Option<Arc<Auth>>, &StopTokens),
) -> Result<(String, Task<()>), StartError> {
    let address = listener
        .local_addr()
        .context("the admin listener has no address")?;
    let observer = Observer {
        store: store.clone(),
        transport: transport.clone(),
        reloader: reloader.clone(),
        readers: outbox_readers(config),
        max_bytes: config.store.bounds.max_bytes,
        is_audited: config.rollout.audit_one_in > 0,
        machine: machine.clone(),
        draining: stop.listening.clone(),
        stages: stages.clone(),
        looked: LastObserved::default(),
    };
    let observer = Arc::new(observer);
    let requests = metrics.requests("admin");
    let exposition: RenderMetrics = Arc::new(move |format| {
        let (metrics, observer) = (metrics.clone(), observer.clone());
        Box::pin(async move {
            if !metrics.is_on() {
                return None;
            }
            let observed = observer.observe().await;
            metrics.text(&observed, format)
        })
    });
    // The first overview is kept, for when the store stands still before any request.
    let first = reloader.clone();
    tokio::spawn(async move { first.overview(None).await });
    let partitions = config.kafka.is_none().then_some(config.embedded.partitions);
    let topics = TopicRecords::new(store.clone(), reloader.clone(), partitions);
    let hosts = Hosts::new(store.clone(), reloader.clone());
    let store = store.clone();
    let (halted, follower) = (transport.clone(), reloader.clone());
    let build = build.clone();
    let acceptor = Acceptor::new(listener, machine.clone()).with_spare();
    let readiness = Readiness {
        store: Box::new(move || store.condition().trouble()),
        lack: Box::new(move || machine.shortage()),
        trouble: Box::new(move || transport.trouble()),
        rules: Box::new(move || follower.behind()),
        callers: Box::new(move || auth.as_ref().and_then(|auth| auth.trouble())),
        halted: Box::new(move || halted.halted()),
        standing: Box::new(move || stages.standing()),
        build: Box::new(move || build.get()),
        draining: stop.listening.clone(),
    };
    let settings = &config.admin;
    let admin = Admin::new(
        Access::new(settings.accepted()),
        settings.component_bytes,
        (reloader.clone(), topics, hosts),
        readiness,
        (exposition, requests),
    );
    let listener = tokio::spawn(admin::serve(
        acceptor,
        Arc::new(admin),
        bounds(config),
        stop.admin.clone(),
    ));
    Ok((format!("http://{address}"), listener))
}
