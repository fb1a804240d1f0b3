// The rules, given/when/then.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NOT_FOUND, TimeSpan } from "saga-sdk";
import { given, migrated } from "saga-sdk/testing";
import * as m from "../src/messages.js";
import type { Reservation } from "../src/messages.js";
import rules from "../src/rules.js";

/** Ann's reservation of seat C7. */
function reservation(status: Reservation["status"], isPaid: boolean): Reservation {
  return { seat: "C7", guest: "Ann", priceCents: 2500, status, isPaid };
}

const awaiting = reservation("awaitingPayment", false);
const payment = (isPaid: boolean, amountCents = 2500) => ({ isPaid, amountCents });
const reported = (isPaid: boolean, amountCents = 2500) => ({ reservation: 1n, payment: payment(isPaid, amountCents) });
const asked = { reservation: 1n, guest: "Ann", amountCents: 2500 };
const released = { reservation: 1n, seat: "C7" };

test("a reservation asks for the payment and sets a timer", () => {
  given(rules)
    .time(1_000)
    .settings({ payment_timeout: TimeSpan.of("1m") })
    .whenCommand("reserve", { seat: "C7", guest: "Ann", priceCents: 2500 })
    .state(awaiting)
    .published(m.PAYMENT_ASKED, 1, asked)
    .publishedNoMore()
    .timerSet(m.PAYMENT_DUE, 61_000, null)
    .repliedPending({ reservation: 1n, payBefore: 61_000 });
});

test("a payment in time confirms it", () => {
  for (const then of [
    given(rules, awaiting).whenEvent(m.PAYMENT_REPORTED, reported(true)),
    given(rules, awaiting).whenCommand("report-payment", payment(true)),
  ]) {
    then.state(reservation("confirmed", true)).timerCancelled(m.PAYMENT_DUE).publishedNoMore();
  }
});

test("a declined payment releases the seat", () => {
  given(rules, awaiting)
    .whenEvent(m.PAYMENT_REPORTED, reported(false))
    .state(reservation("released", false))
    .timerCancelled(m.PAYMENT_DUE)
    .published(m.SEAT_RELEASED, 1, released)
    .publishedNoMore();
});

test("a reservation that nobody pays is released", () => {
  given(rules, awaiting)
    .whenTimer(m.PAYMENT_DUE, null)
    .state(reservation("released", false))
    .published(m.SEAT_RELEASED, 1, released)
    .publishedNoMore();
});

test("a timer that comes after the payment changes nothing", () => {
  given(rules, reservation("confirmed", true)).whenTimer(m.PAYMENT_DUE, null).unchanged().publishedNoMore();
});

test("a late payment is paid back once", () => {
  given(rules, reservation("released", false))
    .whenEvent(m.PAYMENT_REPORTED, reported(true))
    .state(reservation("released", true))
    .published(m.REFUND_ASKED, 1, asked)
    .publishedNoMore()
    .andThen()
    .whenEvent(m.PAYMENT_REPORTED, reported(true))
    .unchanged()
    .publishedNoMore();
});

test("a report that comes again changes nothing", () => {
  given(rules, reservation("confirmed", true))
    .whenEvent(m.PAYMENT_REPORTED, reported(true))
    .unchanged()
    .publishedNoMore();
});

test("a cancellation releases the seat and pays back what was paid", () => {
  given(rules, awaiting)
    .whenCommand("cancel")
    .state(reservation("released", false))
    .timerCancelled(m.PAYMENT_DUE)
    .published(m.SEAT_RELEASED, 1, released)
    .publishedNoMore()
    .replied(reservation("released", false))
    .andThen()
    .whenCommand("cancel")
    .refused(m.ALREADY_RELEASED);
  given(rules, reservation("confirmed", true))
    .whenCommand("cancel")
    .state(reservation("released", true))
    .published(m.SEAT_RELEASED, 1, released)
    .published(m.REFUND_ASKED, 1, asked)
    .publishedNoMore();
});

test("a report that makes no sense is turned down", () => {
  given(rules, awaiting).whenCommand("report-payment", payment(true, 1)).refused(m.WRONG_AMOUNT);
  given(rules, awaiting).whenEvent(m.PAYMENT_REPORTED, reported(true, 1)).malformed("2500 cents");
  given(rules).whenEvent(m.PAYMENT_REPORTED, reported(true)).malformed("no reservation");
  given(rules).whenCommand("cancel").refused(NOT_FOUND);
});

test("a reservation is shown with its number", () => {
  given(rules, awaiting)
    .key(7)
    .whenCommand("get-reservation")
    .repliedPending({ reservation: 7n, ...awaiting });
});

// Keep a state of each released version here: then a change that can't read it fails.
test("a stored state is read", () => {
  const stored = '{"seat":"C7","guest":"Ann","priceCents":2500,"status":"awaitingPayment","isPaid":false}';
  assert.equal(migrated(rules, 1, stored), stored);
});
