//! Offers the timers that are due.
//!
//! A timer that was offered and is not yet settled is not offered again. It is deleted in the
//! transaction of its turn, so after a crash before that, it is offered again at the next start. A
//! timer that can't be decided is parked: it is offered again at the next start, and when another
//! generation becomes active.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::participant::Participant;
use super::this_host::Over;
use crate::base::clock::now_ms;
use crate::store::duties::timers_of;
use crate::store::{FiredTimer, Reader, Store, StoreResult};

/// Timers in flight at once.
const BOUND: usize = 256;

/// Longest sleep; after it, a clock that was set back is noticed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wait after a timer could not be settled, or the store could not be read.
const RETRY: Duration = Duration::from_millis(100);

/// Starts the thread that offers a participant's timers.
///
/// # Errors
/// If the thread can't be started, or the store can't be read or written.
pub fn start(
    participant: Arc<Participant>,
    store: &Store,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    // The limits may have changed since they were parked.
    participant.release_timers()?;
    let reader = store.reader()?;
    let notify = store.timers().clone();
    let name = format!("timers-{}", participant.name());
    let duty = store.duties().offer(&timers_of(participant.name()));
    let body = move || {
        let under_way = Arc::new(Mutex::new(HashSet::new()));
        while !stop.is_cancelled() {
            let seen = notify.count();
            if !duty.is_mine() {
                // Timers in flight may still be settled: if another host is first, they are void.
                notify.wait(seen, PATIENCE);
                continue;
            }
            let wait = round(&participant, &reader, &under_way).unwrap_or_else(|error| {
                participant.report("timers can't be read from the store", error);
                RETRY
            });
            if !stop.is_cancelled() {
                notify.wait(seen, wait);
            }
        }
    };
    Ok(std::thread::Builder::new().name(name).spawn(body)?)
}

type UnderWay = Arc<Mutex<HashSet<FiredTimer>>>;

/// Offers the timers that are due; returns the time until there may be more.
fn round(
    participant: &Participant,
    reader: &Reader,
    under_way: &UnderWay,
) -> StoreResult<Duration> {
    let now = now_ms();
    let (due, next) = reader.due_timers(participant.row(), now, BOUND)?;
    // The timers offered now are checked again soon, since their turns may fail.
    let held = !due.is_empty();
    for timer in due {
        let fired = FiredTimer {
            key: timer.key.clone(),
            name: timer.name.clone(),
            due: timer.due,
        };
        let is_new = under_way.lock().insert(fired.clone());
        if is_new {
            let under_way = under_way.clone();
            participant.fire(
                timer,
                Over::new(move || {
                    under_way.lock().remove(&fired);
                }),
            );
        }
    }
    let until_next = next.map_or(PATIENCE, |next| {
        Duration::from_millis(next.saturating_sub(now))
    });
    Ok(if held {
        RETRY.min(until_next)
    } else {
        until_next.min(PATIENCE)
    })
}
