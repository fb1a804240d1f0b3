// The order service's rules, given/when/then: the tests of `plugins/order/tests/rules.rs`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Money, NOT_FOUND, TimeSpan } from "saga-sdk";
import { type Scenario, type Then, given, migrated, replay } from "saga-sdk/testing";
import { ANSWER_TIMEOUT, CREDIT_ANSWERED, INVALID_ORDER_TOTAL, ORDER_CANCELLED, ORDER_CREATED } from "../contract.js";
import { ORDER_REJECTED, type Order } from "../contract.js";
import order from "../rules.js";

const CUSTOMER = 7n;

function an(state: Order["state"], credit: Order["credit"]): Order {
  return { customerId: CUSTOMER, orderTotal: Money.of(300), state, credit };
}

const pending = an("PENDING", "ASKED");
const approved = an("APPROVED", "RESERVED");
const rejected = an("REJECTED", "REFUSED");
const withinFive = "the customer service did not answer within 5m";
const late = (credit: Order["credit"]): Order => ({ ...an("REJECTED", credit), reason: withinFive });

const record = (state: Order["state"], amount: string | number = 300) => ({
  id: 1n,
  state,
  orderDetails: { customerId: CUSTOMER, orderTotal: { amount: Money.of(amount) } },
});
const place = (amount: string) => `{"customerId":${CUSTOMER},"orderTotal":{"amount":${amount}}}`;
const answered = (state: Order, answer: Order["state"]) => given(order, state).whenEvent(CREDIT_ANSWERED, record(answer));
const cancelled = (state: Order) => given(order, state).whenCommand("cancel-order");
const progress = ({ state, reason }: Order) => ({ orderId: 1n, orderState: state, reason });
const span = (text: string) => TimeSpan.of(text);

test("an order is pending and published in one decision", () => {
  for (const amount of ["300", "300.00", "3e2"]) {
    given(order)
      .key(1)
      .time(1_000)
      .whenCommandJson("place-order", place(amount))
      .state(pending)
      .published(ORDER_CREATED, CUSTOMER, record("PENDING"))
      .publishedNoMore()
      .timerSet(ANSWER_TIMEOUT, 301_000, span("5m"))
      .repliedPending({ orderId: 1n, orderState: "PENDING", customerId: CUSTOMER, orderTotal: Money.of(300) });
  }
});

test("cents arrive on the topic as they were ordered", () => {
  given(order)
    .whenCommandJson("place-order", place("10.25"))
    .published(ORDER_CREATED, CUSTOMER, record("PENDING", "10.25"));
});

test("a total that is no money above zero is refused", () => {
  for (const amount of ["0", "-0.00", "-1", "0.001", "1e17", "123456789012345678901234567890"]) {
    given(order)
      .whenCommandJson("place-order", place(amount))
      .refused(INVALID_ORDER_TOTAL)
      .refusedAt("/orderTotal/amount");
  }
});

test("a customer number beyond 64 bits is malformed", () => {
  const body = '{"customerId":9223372036854775808,"orderTotal":{"amount":1}}';
  given(order).whenCommandJson("place-order", body).malformed("in /customerId");
});

test("an answer decides a pending order", () => {
  for (const [answer, decided] of [["APPROVED", approved], ["REJECTED", rejected]] as const) {
    answered(pending, answer).state(decided).publishedNoMore().timerCancelled(ANSWER_TIMEOUT);
  }
});

test("the first answer stands", () => {
  for (const decided of [approved, rejected]) {
    for (const answer of ["APPROVED", "REJECTED"] as const) answered(decided, answer).unchanged().publishedNoMore();
  }
});

test("the reason tells how long the order waited, whatever the setting is now", () => {
  given(order, pending)
    .settings({ answer_timeout: span("1h") })
    .whenTimer(ANSWER_TIMEOUT, span("3s"))
    .state({ ...late("ASKED"), reason: "the customer service did not answer within 3s" });
  given(order, pending)
    .whenTimer(ANSWER_TIMEOUT, null)
    .state({ ...late("ASKED"), reason: "the customer service did not answer in time" });
});

test("an order that nobody answers is rejected with a reason", () => {
  given(order, pending).whenTimer(ANSWER_TIMEOUT, span("5m")).state(late("ASKED")).publishedNoMore();
  given(order, late("ASKED")).whenCommand("get-order").replied(progress(late("ASKED")));
});

test("the time for an answer is a setting", () => {
  given(order)
    .time(1_000)
    .settings({ answer_timeout: span("10s") })
    .whenCommandJson("place-order", place("300"))
    .timerSet(ANSWER_TIMEOUT, 11_000, span("10s"));
});

test("time that is over changes no order that ended", () => {
  for (const ended of [approved, rejected, late("ASKED"), an("CANCELLED", "ASKED")]) {
    given(order, ended).whenTimer(ANSWER_TIMEOUT, span("5m")).unchanged().publishedNoMore();
  }
});

/** Nothing that may still come gives the credit back again. */
function givenBackOnce(after: Scenario<typeof order>): void {
  after
    .whenEvent(CREDIT_ANSWERED, record("APPROVED"))
    .unchanged()
    .publishedNoMore()
    .andThen()
    .whenEvent(CREDIT_ANSWERED, record("REJECTED"))
    .unchanged()
    .publishedNoMore()
    .andThen()
    .whenTimer(ANSWER_TIMEOUT, span("5m"))
    .unchanged()
    .publishedNoMore();
}

test("credit that is reserved too late is given back once", () => {
  const lateAnswer: Then<typeof order> = answered(late("ASKED"), "APPROVED")
    .state(late("RELEASED"))
    .published(ORDER_CANCELLED, CUSTOMER, record("REJECTED"))
    .publishedNoMore();
  givenBackOnce(lateAnswer.andThen());
});

test("a refusal that comes too late gives nothing back", () => {
  answered(late("ASKED"), "REJECTED").state(late("REFUSED")).publishedNoMore();
  answered(an("CANCELLED", "ASKED"), "REJECTED").state(an("CANCELLED", "REFUSED")).publishedNoMore();
});

test("a pending order is cancelled, and the credit of its late answer given back", () => {
  const ended = an("CANCELLED", "ASKED");
  const lateAnswer = cancelled(pending)
    .state(ended)
    .publishedNoMore()
    .timerCancelled(ANSWER_TIMEOUT)
    .replied(progress(ended))
    .andThen()
    .whenEvent(CREDIT_ANSWERED, record("APPROVED"))
    .state(an("CANCELLED", "RELEASED"))
    .published(ORDER_CANCELLED, CUSTOMER, record("CANCELLED"))
    .publishedNoMore();
  givenBackOnce(lateAnswer.andThen());
});

test("an approved order is cancelled, and its credit given back", () => {
  const ended = an("CANCELLED", "RELEASED");
  const decided = cancelled(approved)
    .state(ended)
    .published(ORDER_CANCELLED, CUSTOMER, record("CANCELLED"))
    .publishedNoMore()
    .replied(progress(ended));
  givenBackOnce(decided.andThen());
});

test("a second cancellation is answered, and changes nothing", () => {
  for (const credit of ["ASKED", "RELEASED", "REFUSED"] as const) {
    const ended = an("CANCELLED", credit);
    cancelled(ended).unchanged().publishedNoMore().replied(progress(ended));
  }
});

test("an order that was rejected can't be cancelled", () => {
  for (const ended of [rejected, late("ASKED"), late("RELEASED")]) cancelled(ended).refused(ORDER_REJECTED);
});

test("orders of the builds before cancellation are read", () => {
  const cases = { PENDING: "ASKED", APPROVED: "RESERVED", REJECTED: "REFUSED" };
  for (const [state, credit] of Object.entries(cases)) {
    const stored = `{"customerId":7,"orderTotal":300,"state":"${state}"}`;
    assert.equal(migrated(order, 1, stored), `${stored.slice(0, -1)},"credit":"${credit}"}`);
  }
});

test("an answer for no order is malformed, so that someone sees it", () => {
  given(order).whenEvent(CREDIT_ANSWERED, record("APPROVED")).malformed("there is no order 1");
});

test("a record that answers nothing is malformed", () => {
  for (const state of ["PENDING", "CANCELLED"] as const) {
    answered(pending, state).malformed("neither APPROVED nor REJECTED");
  }
  for (const text of ["null", "[]", "{}", '{"id":1}', "not json"]) {
    given(order, pending)
      .whenEventJson(CREDIT_ANSWERED, text)
      .malformed("the body is not of the expected shape");
  }
});

test("an order is shown with its state", () => {
  given(order, approved).whenCommand("get-order").unchanged().replied({ orderId: 1n, orderState: "APPROVED" });
  given(order, pending).whenCommand("get-order").unchanged().repliedPending({ orderId: 1n, orderState: "PENDING" });
});

test("an order that does not exist is not found", () => {
  given(order).whenCommand("get-order").refused(NOT_FOUND);
});

test("the request's schema says what a schema can say", () => {
  const { commands } = order.describe() as { commands: { name: string; request: string }[] };
  const request = commands.find(({ name }) => name === "place-order")?.request;
  assert.equal(
    request,
    '{"type":"object","properties":{"customerId":{"type":"integer","format":"int64","minimum":1,"maximum":9223372036854775807},' +
      '"orderTotal":{"type":"object","properties":{"amount":{"type":"number","exclusiveMinimum":0,"maximum":90000000000000000}},' +
      '"required":["amount"]}},"required":["customerId","orderTotal"]}',
  );
});

test("orders are listed by customer and by state", () => {
  const { listings } = order.describe() as { listings: { filters: { parameter: string; schema: string }[] }[] };
  const filters = listings.flatMap((one) => one.filters);
  const kinds = filters.map(({ parameter, schema }) => [parameter, schema.includes('"PENDING"')]);
  assert.deepEqual(kinds, [["customerId", false], ["state", true]]);
});

test("recorded orders are decided as they were", () => {
  const file = "../../../../plugins/order/tests/cases/orders.jsonl";
  const replayed = replay(order, file);
  replayed.unchanged();
  assert.ok(replayed.decisions > 5);
});

test("the rules are 40 lines at most", () => {
  const lines = readFileSync("rules.ts", "utf8").trimEnd().split("\n");
  assert.ok(lines.length <= 40, `${lines.length}`);
});
