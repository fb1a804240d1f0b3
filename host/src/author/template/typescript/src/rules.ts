// The rules of the participant `__name__`: guests reserve seats and pay for them in time.
//
// | what happens            | the reservation                               | what is published                         |
// |-------------------------|-----------------------------------------------|-------------------------------------------|
// | it is made              | awaits its payment, until a timer is due      | payment-asked                             |
// | it is paid in time      | is confirmed                                  |                                           |
// | the payment is declined | is released                                   | seat-released                             |
// | the timer is due        | is released                                   | seat-released                             |
// | it is paid too late     | stays released                                | refund-asked, which compensates for it    |
// | the guest cancels       | is released                                   | seat-released; refund-asked if it was paid|
//
// A payment is reported by an event, or by a command where an adapter of a payment gateway reports. Reports may come
// late, twice, or not at all: each row of the table is a test in tests/rules.test.ts.
import { type Infer, TimeSpan, type Turn, participant, t } from "saga-sdk";
import * as m from "./messages.js";
import type { Payment, Reservation } from "./messages.js";

type ThisTurn = Turn<Reservation, bigint, Infer<typeof m.Settings>, any>;

const rules = participant("__name__", "0.1.0", "Reserves seats.", {
  state: m.Reservation,
  key: t.uint64(), // the host counts the reservations
});

export default rules
  .endpoint("/__name__", 8080)
  .settings(m.Settings, { payment_timeout: TimeSpan.of("15m") })
  .publishes(m.PAYMENT_ASKED, m.REFUND_ASKED, m.SEAT_RELEASED)
  .create(
    "reserve",
    "POST /reservations",
    {
      summary: "Reserves a seat, which is to be paid in time.",
      body: m.Reserve,
      reply: m.Reserved,
      readableAt: "/reservations/{reservation}",
    },
    (request, turn) => {
      const reservation: Reservation = { ...request, status: "awaitingPayment", isPaid: false };
      const payBefore = turn.time + turn.settings.payment_timeout.millis;
      return turn
        .put(reservation)
        .publish(m.PAYMENT_ASKED, turn.key, money(reservation, turn))
        .setTimer(m.PAYMENT_DUE, payBefore, null)
        .pending({ reservation: turn.key, payBefore });
    },
  )
  .change(
    "cancel",
    "POST /reservations/{reservation}/cancel",
    {
      summary: "Cancels a reservation; what was paid is paid back.",
      reply: m.Reservation,
      refuses: [m.ALREADY_RELEASED],
    },
    (reservation, _, turn) => {
      if (reservation.status === "released") {
        return turn.refuse(m.ALREADY_RELEASED, `reservation ${turn.key} was released already`);
      }
      const decision = released(reservation, turn).cancelTimer(m.PAYMENT_DUE);
      if (reservation.isPaid) decision.publish(m.REFUND_ASKED, turn.key, money(reservation, turn));
      return decision.reply({ ...reservation, status: "released" });
    },
  )
  // A command reports a payment: a wrong amount is refused.
  .change(
    "report-payment",
    "POST /reservations/{reservation}/payment",
    { summary: "Reports what became of the payment.", body: m.Payment, refuses: [m.WRONG_AMOUNT] },
    (reservation, payment, turn) => {
      if (payment.amountCents !== reservation.priceCents) {
        return turn.refuse(m.WRONG_AMOUNT, `${reservation.priceCents} cents were asked for`, "/amountCents");
      }
      return settled(reservation, payment, turn).reply(null);
    },
  )
  // A list shows its items by this too, so the key must be in it.
  .read(
    "get-reservation",
    "/reservations/{reservation}",
    {
      summary: "Shows a reservation.",
      reply: m.Shown,
      pendingWhile: ({ status }) => status === "awaitingPayment",
    },
    (reservation, turn) => ({ reservation: turn.key, ...reservation }),
  )
  .listing("list-reservations", "/reservations", "get-reservation", {
    summary: "Lists the reservations, the oldest first.",
    filters: { guest: "/guest", status: "/status" },
  })
  // An event reports a payment: one that makes no sense becomes a dead letter, which an operator sees.
  .on(m.PAYMENT_REPORTED, { group: "__name__", key: "/reservation" }, (reservation, { payment }, turn) => {
    if (!reservation) return turn.malformed(`there is no reservation ${turn.key}`);
    if (payment.amountCents !== reservation.priceCents) {
      return turn.malformed(`${reservation.priceCents} cents were asked for`);
    }
    return settled(reservation, payment, turn);
  })
  // The timer is due. It was cancelled if the payment was reported, but rules don't rely on that.
  .timer(m.PAYMENT_DUE, (reservation, _, turn) =>
    reservation.status === "awaitingPayment" ? released(reservation, turn) : turn.unchanged(),
  );

function settled(reservation: Reservation, { isPaid }: Payment, turn: ThisTurn) {
  const isAwaited = reservation.status === "awaitingPayment";
  if (isPaid && isAwaited) {
    return turn.put({ ...reservation, status: "confirmed", isPaid: true }).cancelTimer(m.PAYMENT_DUE);
  }
  // Too late: someone else may have the seat, so the money goes back. A report that comes again changes nothing.
  if (isPaid && !reservation.isPaid) {
    return turn.put({ ...reservation, isPaid: true }).publish(m.REFUND_ASKED, turn.key, money(reservation, turn));
  }
  if (!isPaid && isAwaited) return released(reservation, turn).cancelTimer(m.PAYMENT_DUE);
  return turn.unchanged();
}

function released(reservation: Reservation, turn: ThisTurn) {
  return turn
    .put({ ...reservation, status: "released" })
    .publish(m.SEAT_RELEASED, turn.key, { reservation: turn.key, seat: reservation.seat });
}

function money({ guest, priceCents }: Reservation, turn: ThisTurn) {
  return { reservation: turn.key, guest, amountCents: priceCents };
}
