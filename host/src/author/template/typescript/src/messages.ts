// The state, what clients send and get, what events say, and what operators set.
import { type Infer, event, refusal, t, timer } from "saga-sdk";

/** Until its payment arrives a reservation waits; released, its seat is free for others. */
const status = t.words(["awaitingPayment", "confirmed", "released"]);
const seat = t.string({ minLength: 1, maxLength: 20, description: "The seat." });
const guest = t.string({ minLength: 1, maxLength: 100, description: "The guest." });
const cents = t.integer({ minimum: 1, maximum: 100_000_000, description: "The price in cents." });
const reservation = t.uint64({ description: "Number of the reservation." });
/** True once the payment has arrived, also if it came too late. */
const isPaid = t.boolean();

/** A reservation of a seat: the state of one aggregate. */
const members = { seat, guest, priceCents: cents, status, isPaid };
export const Reservation = t.object(members);
export type Reservation = Infer<typeof Reservation>;

/** A reservation as clients see it, alone and in the list. The number is its key, which the state does not have. */
export const Shown = t.object({ reservation, ...members });

export const Reserve = t.object(
  { seat, guest, priceCents: cents },
  { examples: [{ seat: "C7", guest: "Ann", priceCents: 2500 }] },
);
export const Reserved = t.object({ reservation, payBefore: t.integer({ description: "In milliseconds since 1970." }) });

export const Payment = t.object(
  { isPaid: t.boolean({ description: "False if it was declined." }), amountCents: cents },
  { examples: [{ isPaid: true, amountCents: 2500 }] },
);
export type Payment = Infer<typeof Payment>;

const MoneyAsked = t.object({ reservation, guest, amountCents: cents });

/** A guest has to pay. */
export const PAYMENT_ASKED = event("payment-asked", "__name__-payment-requests", MoneyAsked);
/** A guest is to be paid back. */
export const REFUND_ASKED = event("refund-asked", "__name__-payment-requests", MoneyAsked);
/** A seat is free again. */
export const SEAT_RELEASED = event("seat-released", "__name__-seats", t.object({ reservation, seat }));
/** A payment service reports. */
export const PAYMENT_REPORTED = event(
  "payment-reported",
  "__name__-payments",
  t.object({ reservation, payment: Payment }),
);

/** The time to pay is over. Its body says nothing: the reservation is its aggregate. */
export const PAYMENT_DUE = timer("payment-due");

/** Only what is not over can be cancelled. */
export const ALREADY_RELEASED = refusal.conflict(
  "already-released",
  "The reservation was released, so there is nothing to cancel.",
);
/** A payment is reported with the amount that was asked for. */
export const WRONG_AMOUNT = refusal.invalid("wrong-amount", "The amount is not the one that was asked for.");

export const Settings = t.object({ payment_timeout: t.timeSpan({ description: "Time that a guest has to pay." }) });
