//! The thread that follows what other hosts on the store have parked, so that none of it is
//! forgotten if they end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::participant::{Participant, place_of};
use super::worker::Offered;
use crate::base::notify::Notify;
use crate::base::stop::NotifiedAtStop;
use crate::store::{Reader, Store, StoreResult};

/// Interval of looks at what is parked.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread of a participant. None if its store has no other hosts.
///
/// # Errors
/// If the thread can't be started, or the store can't be read.
pub fn start(
    participant: Arc<Participant>,
    store: &Store,
    stop: CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    if !store.is_shared() {
        return Ok(None);
    }
    let reader = store.reader()?;
    let name = format!("others-{}", participant.name());
    let body = move || {
        let mut had_others = false;
        let notify = Notify::default();
        let _notified = NotifiedAtStop::new(&stop, &notify);
        loop {
            let seen = notify.count();
            if stop.is_cancelled() {
                return;
            }
            let has_others = participant.shared.store.has_others();
            // Once more when the last one has gone: what it has parked is left to this host.
            if (has_others || had_others)
                && let Err(fault) = participant.follow_parked(&reader)
            {
                participant.report("parked messages can't be read", fault);
            }
            had_others = has_others;
            notify.wait(seen, LOOK);
        }
    };
    Ok(Some(std::thread::Builder::new().name(name).spawn(body)?))
}

impl Participant {
    /// Tells the workers of the messages that are parked in the store.
    fn follow_parked(&self, reader: &Reader) -> StoreResult<()> {
        let shared = &self.shared;
        let keys = reader.parked_keys(shared.row)?;
        shared.parked.recount(reader.parked_totals(shared.row)?);
        let workers = self.workers.read().clone();
        let mut of_workers = vec![Vec::new(); workers.len()];
        for key in keys {
            if let Some(of_worker) = of_workers.get_mut(place_of(&key.key, workers.len())) {
                of_worker.push(key);
            }
        }
        for (worker, keys) in workers.iter().zip(of_workers) {
            // A worker with a full queue is told at the next time.
            let _ = worker.turns.try_send(Offered::Parked(keys));
        }
        Ok(())
    }
}
