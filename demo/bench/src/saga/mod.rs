//! One saga as a client lives it: POST an order, then ask until it is decided.
//!
//! Owns: the waiting and the two times that are measured. Both start when the POST is sent; the
//! second ends when an answer says APPROVED or REJECTED, so it is what a client sees, not what a
//! log inside the host would say.
//!
//! Must not know: whether the decision is right (`load::ledger`), or how many sagas run at once.

pub(crate) mod latency;
pub(crate) mod pace;
pub(crate) mod timer;

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::saga::pace::Pace;
use crate::saga::timer::Timer;
use saga_demo::cents::Cents;
use saga_demo::contract::{CallError, OrderService, OrderState};

/// A saga that came to an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided {
    /// Id of the order.
    pub(crate) order_id: i64,
    /// APPROVED or REJECTED.
    pub(crate) state: OrderState,
    /// POST sent to answer read.
    pub(crate) posted: Duration,
    /// POST sent to the answer that said so.
    pub(crate) decided: Duration,
}

/// A saga whose end is not known.
#[derive(Debug, Error)]
pub(crate) enum Unfinished {
    /// The order was not placed, or nobody knows; see [`CallError::fate_unknown`].
    #[error(transparent)]
    Post(CallError),
    /// The order was placed, and asking for it failed.
    #[error("order {order_id} was placed, then {error}")]
    Ask {
        /// Id of the order.
        order_id: i64,
        /// The failure.
        error: CallError,
    },
    /// The order was placed, and still PENDING at the end of the client's patience.
    #[error("order {order_id} is still PENDING after {} ms", waited.as_millis())]
    Pending {
        /// Id of the order.
        order_id: i64,
        /// Since the POST.
        waited: Duration,
    },
}

/// The clocks that all sagas of a run share.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Precise waits.
    pub(crate) timer: Timer,
    /// When to ask first.
    pub(crate) pace: Pace,
    /// How long after its POST an order may be PENDING.
    pub(crate) patience: Duration,
}

/// Places an order and waits for its decision.
///
/// # Errors
/// The order was not placed, can't be asked for, or is not decided in time.
pub(crate) async fn run(
    orders: &mut OrderService,
    waiting: &Waiting,
    customer_id: i64,
    total: Cents,
) -> Result<Decided, Unfinished> {
    let start = Instant::now();
    let order_id = orders
        .place(customer_id, total)
        .await
        .map_err(Unfinished::Post)?;
    let posted = start.elapsed();
    waiting
        .timer
        .sleep(waiting.pace.first().min(waiting.patience))
        .await;
    let mut follow_ups = waiting.pace.follow_ups();
    let mut first = true;
    loop {
        // Judged by when the question was asked: an answer that is late says nothing of the order.
        let asked = start.elapsed();
        let state = orders
            .state(order_id)
            .await
            .map_err(|error| Unfinished::Ask { order_id, error })?;
        if first {
            waiting.pace.learn(state != OrderState::Pending);
            first = false;
        }
        if state != OrderState::Pending {
            return Ok(Decided {
                order_id,
                state,
                posted,
                decided: start.elapsed(),
            });
        }
        if asked >= waiting.patience {
            return Err(Unfinished::Pending {
                order_id,
                waited: asked,
            });
        }
        waiting
            .timer
            .sleep(follow_ups.next().unwrap_or(waiting.patience))
            .await;
    }
}
