//! One saga from the client's view: POST an order, then poll until it is decided.
//!
//! Owns: the polling and the two measured times. Both begin when the POST is sent; the second ends
//! when an answer shows APPROVED or REJECTED, so it is the time that a client sees.
//!
//! Must not know: the correct decision (`load::ledger`), or the number of concurrent sagas.

pub(crate) mod latency;
pub(crate) mod pace;
pub(crate) mod timer;

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::saga::pace::Pace;
use crate::saga::timer::PreciseTimer;
use saga_demo_client::cents::Cents;
use saga_demo_client::contract::{CallError, OrderClient, OrderState};

/// A decided saga.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecidedSaga {
    /// Id of the order.
    pub(crate) order_id: i64,
    /// APPROVED or REJECTED.
    pub(crate) state: OrderState,
    /// Time from sending the POST to its answer.
    pub(crate) posted: Duration,
    /// Time from sending the POST to the answer that shows the decision.
    pub(crate) decided: Duration,
}

/// A saga without a known decision.
#[derive(Debug, Error)]
pub(crate) enum Unfinished {
    /// The order was not placed, or that is unknown; see [`CallError::fate_unknown`].
    #[error(transparent)]
    Post(CallError),
    /// The order was placed, but reading it failed.
    #[error("order {order_id} was placed, then {error}")]
    Ask {
        /// Id of the order.
        order_id: i64,
        /// The error.
        error: CallError,
    },
    /// The order was placed, but was still PENDING when the time was over.
    #[error("order {order_id} is still PENDING after {} ms", waited.as_millis())]
    Pending {
        /// Id of the order.
        order_id: i64,
        /// Time since the POST.
        waited: Duration,
    },
}

/// The clocks of all sagas of a run.
#[derive(Debug)]
pub(crate) struct SagaClocks {
    /// Precise waits.
    pub(crate) timer: PreciseTimer,
    /// The time of the first poll.
    pub(crate) pace: Pace,
    /// Longest time that an order may be PENDING.
    pub(crate) patience: Duration,
}

/// Places an order and waits for its decision.
///
/// # Errors
/// The order was not placed, can't be read, or is not decided in time.
pub(crate) async fn run(
    orders: &mut OrderClient,
    waiting: &SagaClocks,
    customer_id: i64,
    total: Cents,
) -> Result<DecidedSaga, Unfinished> {
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
        // The time of the request counts: a late answer says nothing about the order.
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
            return Ok(DecidedSaga {
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
