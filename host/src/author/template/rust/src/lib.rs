//! The rules of the participant `__name__`: guests reserve seats and pay for them in time.
//!
//! | what happens | the reservation | what is published |
//! |---|---|---|
//! | it is made | awaits its payment, until a timer is due | `payment-asked` |
//! | it is paid in time | is confirmed | |
//! | the payment is declined | is released | `seat-released` |
//! | the timer is due | is released | `seat-released` |
//! | it is paid too late | stays released | `refund-asked`, which compensates for the payment |
//! | the guest cancels | is released | `seat-released`; `refund-asked` if it was paid |
//!
//! A payment is reported by an event, or by a command where an adapter of a payment gateway reports. Reports may come
//! late, twice, or not at all: each row of the table is a test in `tests/rules.rs`.

pub mod messages;

use messages::{MoneyAsked, Payment, PaymentReported, Reservation, Reserve, Reserved};
use messages::{SeatReleased, Settings, Shown, Status};
use saga_sdk::{Command, Contract, Decision, EventType, Listing, Method, Participant};
use saga_sdk::{Refusal, RefusalType, Subscription, TimeSpan, Timer, Turn};

/// The name of the participant, and of the group in which it reads.
const NAME: &str = "__name__";

/// The topics.
const PAYMENT_REQUESTS: &str = "__name__-payment-requests";
const PAYMENTS: &str = "__name__-payments";
const SEATS: &str = "__name__-seats";

/// A guest has to pay.
pub const PAYMENT_ASKED: EventType<MoneyAsked> = EventType::new("payment-asked", PAYMENT_REQUESTS);

/// A guest is to be paid back.
pub const REFUND_ASKED: EventType<MoneyAsked> = EventType::new("refund-asked", PAYMENT_REQUESTS);

/// A seat is free again.
pub const SEAT_RELEASED: EventType<SeatReleased> = EventType::new("seat-released", SEATS);

/// A payment service reports.
pub const PAYMENT_REPORTED: EventType<PaymentReported> =
    EventType::new("payment-reported", PAYMENTS);

/// The time to pay is over. Its body says nothing: the reservation is its aggregate.
pub const PAYMENT_DUE: Timer<()> = Timer::new("payment-due");

/// Only what is not over can be cancelled.
pub const ALREADY_RELEASED: RefusalType = RefusalType::conflict(
    "already-released",
    "The reservation was released, so there is nothing to cancel.",
);

/// A payment is reported with the amount that was asked for.
pub const WRONG_AMOUNT: RefusalType = RefusalType::invalid(
    "wrong-amount",
    "The amount is not the one that was asked for.",
);

/// The participant.
pub struct __Name__Service;

impl Participant for __Name__Service {
    type State = Reservation;
    type Key = u64; // the host counts the reservations

    fn contract() -> Contract<Reservation, u64> {
        Contract::new(NAME, env!("CARGO_PKG_VERSION"), "Reserves seats.")
            .endpoint("/__name__", 8080)
            .settings(Settings {
                payment_timeout: TimeSpan::from_secs(15 * 60),
            })
            .command(
                Command::create("reserve", Method::Post, "/reservations", reserve)
                    .summary("Reserves a seat, which is to be paid in time.")
                    .readable_at("/reservations/{reservation}"),
            )
            .command(
                Command::change(
                    "cancel",
                    Method::Post,
                    "/reservations/{reservation}/cancel",
                    cancel,
                )
                .summary("Cancels a reservation; what was paid is paid back.")
                .refuses(ALREADY_RELEASED),
            )
            .command(
                Command::change(
                    "report-payment",
                    Method::Post,
                    "/reservations/{reservation}/payment",
                    report,
                )
                .summary("Reports what became of the payment.")
                .refuses(WRONG_AMOUNT),
            )
            .command(
                Command::read("get-reservation", "/reservations/{reservation}", show)
                    .summary("Shows a reservation.")
                    .pending_while(|one: &Reservation| one.status == Status::AwaitingPayment),
            )
            .listing(
                Listing::of("list-reservations", "/reservations", "get-reservation")
                    .summary("Lists the reservations, the oldest first.")
                    .filter("guest", "/guest")
                    .filter("status", "/status"),
            )
            .on(Subscription::to(
                PAYMENT_REPORTED,
                NAME,
                "/reservation",
                reported,
            ))
            .timer(PAYMENT_DUE, overdue)
            .publishes(PAYMENT_ASKED)
            .publishes(REFUND_ASKED)
            .publishes(SEAT_RELEASED)
    }
}

saga_sdk::export!(__Name__Service);

fn reserve(request: Reserve, turn: &Turn<u64>) -> Decision<Reservation, Reserved> {
    let reservation = Reservation {
        seat: request.seat,
        guest: request.guest,
        price_cents: request.price_cents,
        status: Status::AwaitingPayment,
        is_paid: false,
    };
    let timeout = turn.settings::<Settings>().payment_timeout;
    let pay_before = turn.time().saturating_add(timeout.as_millis());
    let asked = money(&reservation, turn);
    Decision::put(reservation)
        .publish(PAYMENT_ASKED, turn.key(), &asked)
        .set_timer(PAYMENT_DUE, pay_before, &())
        .pending(Reserved {
            reservation: *turn.key(),
            pay_before,
        })
}

fn cancel(
    reservation: Reservation,
    (): (),
    turn: &Turn<u64>,
) -> Result<Decision<Reservation, Reservation>, Refusal> {
    if reservation.status == Status::Released {
        let detail = format!("reservation {} was released already", turn.key());
        return Err(Refusal::new(ALREADY_RELEASED, detail));
    }
    let refund = reservation.is_paid.then(|| money(&reservation, turn));
    let decision = released(reservation.clone(), turn).cancel_timer(PAYMENT_DUE);
    let decision = match refund {
        Some(refund) => decision.publish(REFUND_ASKED, turn.key(), &refund),
        None => decision,
    };
    Ok(decision.reply(Reservation {
        status: Status::Released,
        ..reservation
    }))
}

/// A command reports a payment: a wrong amount is refused.
fn report(
    reservation: Reservation,
    payment: Payment,
    turn: &Turn<u64>,
) -> Result<Decision<Reservation, ()>, Refusal> {
    if payment.amount_cents != reservation.price_cents {
        let detail = format!("{} cents were asked for", reservation.price_cents);
        return Err(Refusal::new(WRONG_AMOUNT, detail).at("/amountCents"));
    }
    Ok(settled(reservation, &payment, turn).reply(()))
}

/// An event reports a payment: one that makes no sense becomes a dead letter, which an operator sees.
fn reported(
    reservation: Option<Reservation>,
    event: PaymentReported,
    turn: &Turn<u64>,
) -> Decision<Reservation> {
    match reservation {
        None => Decision::malformed(format!("there is no reservation {}", turn.key())),
        Some(reservation) if event.payment.amount_cents != reservation.price_cents => {
            Decision::malformed(format!("{} cents were asked for", reservation.price_cents))
        }
        Some(reservation) => settled(reservation, &event.payment, turn),
    }
}

fn settled(reservation: Reservation, payment: &Payment, turn: &Turn<u64>) -> Decision<Reservation> {
    let is_awaited = reservation.status == Status::AwaitingPayment;
    match (payment.is_paid, is_awaited) {
        (true, true) => Decision::put(Reservation {
            status: Status::Confirmed,
            is_paid: true,
            ..reservation
        })
        .cancel_timer(PAYMENT_DUE),
        // Too late: someone else may have the seat, so the money goes back. A report that comes again changes nothing.
        (true, false) if !reservation.is_paid => {
            let refund = money(&reservation, turn);
            Decision::put(Reservation {
                is_paid: true,
                ..reservation
            })
            .publish(REFUND_ASKED, turn.key(), &refund)
        }
        (false, true) => released(reservation, turn).cancel_timer(PAYMENT_DUE),
        (true | false, false) => Decision::unchanged(),
    }
}

/// The timer is due. It was cancelled if the payment was reported, but rules don't rely on that.
fn overdue(reservation: Reservation, (): (), turn: &Turn<u64>) -> Decision<Reservation> {
    match reservation.status {
        Status::AwaitingPayment => released(reservation, turn),
        Status::Confirmed | Status::Released => Decision::unchanged(),
    }
}

/// A list shows its items by this too, so the key must be in it.
fn show(reservation: &Reservation, turn: &Turn<u64>) -> Shown {
    Shown {
        reservation: *turn.key(),
        content: reservation.clone(),
    }
}

fn released(reservation: Reservation, turn: &Turn<u64>) -> Decision<Reservation> {
    let released = SeatReleased {
        reservation: *turn.key(),
        seat: reservation.seat.clone(),
    };
    let status = Status::Released;
    Decision::put(Reservation {
        status,
        ..reservation
    })
    .publish(SEAT_RELEASED, turn.key(), &released)
}

fn money(reservation: &Reservation, turn: &Turn<u64>) -> MoneyAsked {
    MoneyAsked {
        reservation: *turn.key(),
        guest: reservation.guest.clone(),
        amount_cents: reservation.price_cents,
    }
}
